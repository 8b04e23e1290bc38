import type { Clock } from '../clock.ts'
import {
  namesIn,
  ownClaim,
  readScopes,
  refuse,
  requireSubject,
  requireTimes,
  requireType,
  sessionFrom,
} from './claims.ts'
import type { Claims } from './claims.ts'
import { assertSecureUrl } from './fetch-json.ts'
import type { Fetch } from './fetch-json.ts'
import { createKeyStore } from './key-store.ts'
import { requireSignature } from './token-signature.ts'
import type { TokenVerifier } from './verifier.ts'

export interface CognitoVerifierDeps {
  readonly region: string
  readonly userPoolId: string
  /** The app clients whose tokens are accepted; at least one. */
  readonly clientIds: readonly string[]
  readonly tokenUse?: 'id' | 'access' | 'any'
  /** Default: the issuer's `/.well-known/jwks.json`. */
  readonly keysUrl?: string
  /** Default: that of the pool at AWS. */
  readonly issuer?: string
  readonly clock: Clock
  readonly fetch?: Fetch
}

/**
 * Verifies Amazon Cognito user pool tokens. The app client is checked where each kind carries it:
 * `aud` in ID tokens, `client_id` in access tokens. Half a configuration throws at creation.
 */
export function createCognitoVerifier(deps: CognitoVerifierDeps): TokenVerifier {
  assertConfiguration(deps)
  const { region, userPoolId, clientIds, tokenUse = 'any', clock } = deps
  const issuer = deps.issuer ?? `https://cognito-idp.${region}.amazonaws.com/${userPoolId}`
  const keysUrl = deps.keysUrl ?? `${issuer}/.well-known/jwks.json`
  assertSecureUrl(keysUrl, 'Cognito: keysUrl')
  const keys = createKeyStore({
    url: keysUrl,
    algorithms: ['RS256'],
    clock,
    ...(deps.fetch === undefined ? {} : { fetch: deps.fetch }),
  })

  return {
    name: 'cognito',
    issuer,
    async verify(token, { header, claims }) {
      requireType(header.typ, ['jwt'])
      if (header.kid === undefined) refuse('kid is missing')
      await requireSignature(token, header, keys)
      if (ownClaim(claims, 'iss') !== issuer) refuse('iss is not that of the pool')
      requireClient(claims, tokenUse, clientIds)
      const subject = requireSubject(claims, 255)
      return {
        issuer,
        subject,
        ...sessionFrom(claims, ['origin_jti']),
        roles: namesIn(ownClaim(claims, 'cognito:groups')),
        scopes: readScopes(claims),
        assurance: 'aal1',
        claims,
        via: 'bearer',
        validUntilMs: requireTimes(claims, clock.now().getTime()),
      }
    },
  }
}

/** An ID token has no `client_id` and an access token usually no `aud`: one check each, by kind. */
function requireClient(claims: Claims, tokenUse: string, clientIds: readonly string[]): void {
  const use = ownClaim(claims, 'token_use')
  if (use !== 'id' && use !== 'access') return refuse('token_use is missing or unknown')
  if (tokenUse !== 'any' && use !== tokenUse) refuse('token_use is not accepted here')
  const client = ownClaim(claims, use === 'id' ? 'aud' : 'client_id')
  if (typeof client !== 'string' || !clientIds.includes(client)) {
    refuse('the token is for another app client')
  }
}

function assertConfiguration({ region, userPoolId, clientIds }: CognitoVerifierDeps): void {
  if (!/^[a-z]{2}-(gov-)?[a-z]+-\d_[a-zA-Z0-9]+$/.test(userPoolId)) {
    throw new Error('Cognito: the user pool id is not of the form eu-central-1_AbCdEf123')
  }
  if (!userPoolId.startsWith(`${region}_`)) {
    throw new Error('Cognito: the user pool id is of another region')
  }
  if (clientIds.length === 0 || clientIds.includes('')) {
    throw new Error('Cognito: at least one client id is needed, and none may be empty')
  }
}
