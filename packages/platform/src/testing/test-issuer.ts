import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import { createOidcVerifier } from '../auth/oidc.verifier.ts'
import type { TokenVerifier } from '../auth/verifier.ts'
import type { Clock } from '../clock.ts'

/** An OpenID provider of the tests' own: it signs real tokens that are really verified. */
export interface TestIssuer {
  readonly issuer: string
  readonly verifier: TokenVerifier
  /** A token for `subject` that lives an hour, with any claims added or replaced. */
  token(subject: string, claims?: JWTPayload): Promise<string>
}

/** Makes an issuer with an ES256 key of its own. */
export async function createTestIssuer({ clock }: { clock: Clock }): Promise<TestIssuer> {
  const issuer = 'https://issuer.test'
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const keys = {
    keys: [{ ...(await exportJWK(publicKey)), kid: 'test', alg: 'ES256', use: 'sig' }],
  }
  return {
    issuer,
    verifier: createOidcVerifier({
      name: 'test',
      issuer,
      audience: 'quayside-tests',
      algorithms: ['ES256'],
      jwksUri: `${issuer}/jwks`,
      rolesClaim: 'roles',
      clock,
      fetch: async () => Response.json(keys),
    }),
    token(subject, claims = {}) {
      const nowS = Math.floor(clock.now().getTime() / 1000)
      return new SignJWT({
        iss: issuer,
        aud: 'quayside-tests',
        sub: subject,
        iat: nowS,
        exp: nowS + 3600,
        ...claims,
      })
        .setProtectedHeader({ alg: 'ES256', kid: 'test', typ: 'JWT' })
        .sign(privateKey)
    },
  }
}
