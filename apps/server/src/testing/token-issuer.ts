import { generateKeyPairSync, sign } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { TestContext } from 'node:test'

/** An OpenID provider on this machine, for servers that run in a process of their own. */
export interface TokenIssuer {
  /** `AUTH_ISSUERS` for a server that trusts it. */
  readonly env: { readonly AUTH_ISSUERS: string }
  /** Headers with a new token of a person; the same name is always the same person. */
  headers(subject: string): { authorization: string }
}

/** Starts one; its keys are served until the test ends. */
export async function startTokenIssuer(t: Pick<TestContext, 'after'>): Promise<TokenIssuer> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = { ...publicKey.export({ format: 'jwk' }), kid: 'test', alg: 'ES256', use: 'sig' }
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: [key] }))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close().closeAllConnections())
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('No port was given.')
  const issuer = `http://127.0.0.1:${address.port}`
  const audience = 'quayside-tests'
  const entry = { issuer, audience, algorithms: ['ES256'], jwksUri: `${issuer}/jwks` }
  return {
    env: { AUTH_ISSUERS: JSON.stringify([entry]) },
    headers(subject) {
      const nowS = Math.floor(Date.now() / 1000)
      const claims = { iss: issuer, aud: audience, sub: subject, iat: nowS, exp: nowS + 3600 }
      const signed = [{ alg: 'ES256', kid: 'test', typ: 'JWT' }, claims]
        .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
        .join('.')
      const signature = sign('sha256', Buffer.from(signed), {
        key: privateKey,
        dsaEncoding: 'ieee-p1363',
      })
      return { authorization: `Bearer ${signed}.${signature.toString('base64url')}` }
    },
  }
}
