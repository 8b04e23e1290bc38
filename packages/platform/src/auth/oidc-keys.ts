import type { Clock } from '../clock.ts'
import { isJsonObject } from './compact-jwt.ts'
import { assertSecureUrl, fetchJson } from './fetch-json.ts'
import type { Fetch } from './fetch-json.ts'
import { createKeyStore, createStaticKeyStore } from './key-store.ts'
import type { KeyStore } from './key-store.ts'
import { asymmetricAlgorithms } from './verification-key.ts'
import type { AsymmetricAlgorithm } from './verification-key.ts'

export interface OidcKeysDeps {
  readonly issuer: string
  readonly algorithms: readonly string[]
  readonly jwksUri?: string
  readonly secret?: string
  readonly clock: Clock
  readonly fetch?: Fetch
}

/**
 * The keys of an OpenID provider: a shared secret, a configured JWK set, or the one its discovery
 * document names. Throws at creation if the algorithms and the kind of key do not go together.
 */
export function createOidcKeys(deps: OidcKeysDeps): KeyStore {
  const { issuer, algorithms, jwksUri, secret, clock, fetch = globalThis.fetch } = deps
  const say = (problem: string) => new Error(`The issuer ${issuer} ${problem}`)
  if (algorithms.length === 0) throw say('has no algorithms')

  if (secret !== undefined) {
    assertSecret(deps, secret, say)
    return createStaticKeyStore({ secret })
  }
  // Symmetric and asymmetric keys never meet in one verifier: that is how a public key becomes
  // an HMAC secret (CVE-2026-34950).
  if (!algorithms.every(isAsymmetric)) {
    throw say(`may use ${asymmetricAlgorithms.join(', ')}, or HS256 alone with a secret`)
  }
  assertSecureUrl(jwksUri ?? issuer, jwksUri === undefined ? 'An issuer' : `jwksUri of ${issuer}`)
  const url = jwksUri ?? (() => discoverJwksUri(issuer, fetch))
  return createKeyStore({ url, algorithms: algorithms.filter(isAsymmetric), clock, fetch })
}

function assertSecret(
  { algorithms, jwksUri }: OidcKeysDeps,
  secret: string,
  say: (problem: string) => Error,
): void {
  if (algorithms.length !== 1 || algorithms[0] !== 'HS256') {
    throw say('has a secret, so its algorithms must be exactly HS256')
  }
  if (jwksUri !== undefined) throw say('has both a secret and a jwksUri')
  if (Buffer.byteLength(secret, 'utf8') < secretBytesMin) {
    throw say(`has a secret of less than ${secretBytesMin} bytes`)
  }
  if (secret.includes('-----BEGIN')) throw say('has a PEM key as its secret')
}

// RFC 7518 §3.2: a key at least as long as the hash.
const secretBytesMin = 32

function isAsymmetric(alg: string): alg is AsymmetricAlgorithm {
  return asymmetricAlgorithms.some((known) => known === alg)
}

/**
 * OpenID Connect Discovery §4. Asked again at each refresh of the keys, which costs one small
 * request and follows a provider that moves them.
 */
async function discoverJwksUri(issuer: string, fetch: Fetch): Promise<string> {
  const { body } = await fetchJson(
    fetch,
    `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`,
    { headers: { accept: 'application/json' } },
  )
  if (!isJsonObject(body) || body['issuer'] !== issuer) {
    throw new Error(`The discovery document of ${issuer} names another issuer`)
  }
  const jwksUri = body['jwks_uri']
  if (typeof jwksUri !== 'string') {
    throw new Error(`The discovery document of ${issuer} names no jwks_uri`)
  }
  assertSecureUrl(jwksUri, `jwks_uri of ${issuer}`)
  return jwksUri
}
