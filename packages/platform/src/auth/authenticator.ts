import type { Clock } from '../clock.ts'
import { readCompactJwt } from './compact-jwt.ts'
import type { ParsedJwt } from './compact-jwt.ts'
import { ownClaim, refuse } from './claims.ts'
import type { Principal, ResolveUser, VerifiedToken } from './principal.ts'
import { createTokenCache } from './token-cache.ts'
import type { TokenVerifier } from './verifier.ts'

export interface TokenAuthenticatorDeps {
  readonly verifiers: readonly TokenVerifier[]
  /**
   * Takes the tokens of its issuer, and those without `iss`, unverified. Whoever passes it checks
   * the gateway's secret on each request before asking this authenticator anything.
   */
  readonly gateway?: TokenVerifier
  readonly resolveUser: ResolveUser
  readonly clock: Clock
  /** Verified tokens kept in memory. Default 10,000. */
  readonly cacheEntriesMax?: number
  /** Total length of the tokens kept. Default 16 MiB. */
  readonly cacheBytesMax?: number
}

export interface TokenAuthenticator {
  /** The principal of a token seen before and still valid, without waiting for anything. */
  cached(token: string, nowMs?: number): Principal | undefined
  /**
   * Verifies the token and finds its user. Throws `token_invalid`, `token_expired` or
   * `keys_unavailable`, and whatever `resolveUser` throws. Failures are never remembered.
   */
  authenticate(token: string): Promise<Principal>
  /** Hits and misses of `cached` since the start, and how many tokens are kept now. */
  stats(): { readonly hits: number; readonly misses: number; readonly size: number }
}

/**
 * Turns bearer tokens into principals. The unverified `iss` only chooses the verifier, by exact
 * match; an issuer nobody configured is refused without any network call.
 */
export function createTokenAuthenticator({
  verifiers,
  gateway,
  resolveUser,
  clock,
  cacheEntriesMax = 10_000,
  cacheBytesMax = 16 * 1024 * 1024,
}: TokenAuthenticatorDeps): TokenAuthenticator {
  const byIssuer = indexByIssuer(gateway === undefined ? verifiers : [...verifiers, gateway])
  const allowEmptySignature = verifiers.some((verifier) => verifier.acceptsUnsigned === true)
  const cache = createTokenCache<Principal>({
    entriesMax: cacheEntriesMax,
    bytesMax: cacheBytesMax,
  })
  const inFlight = new Map<string, Promise<Principal>>()
  let hits = 0
  let misses = 0

  function chooseVerifier({ claims }: ParsedJwt): TokenVerifier {
    const iss = ownClaim(claims, 'iss')
    const chosen = typeof iss === 'string' ? byIssuer.get(iss) : undefined
    if (chosen !== undefined) return chosen
    return gateway !== undefined && iss === undefined ? gateway : refuse('iss is not configured')
  }

  async function verify(token: string): Promise<Principal> {
    const parsed = readCompactJwt(token, { allowEmptySignature })
    if (parsed === undefined) return refuse('not a compact JWT')
    const verified = await chooseVerifier(parsed).verify(token, parsed)
    const principal = toPrincipal(verified, await resolveUser(verified))
    cache.set(token, principal, verified.validUntilMs)
    return principal
  }

  return {
    cached(token, nowMs = clock.now().getTime()) {
      const principal = cache.get(token, nowMs)
      if (principal === undefined) misses += 1
      else hits += 1
      return principal
    },

    async authenticate(token) {
      const known = cache.get(token, clock.now().getTime())
      if (known !== undefined) return known
      const running = inFlight.get(token)
      if (running !== undefined) return running
      const started = verify(token).finally(() => inFlight.delete(token))
      inFlight.set(token, started)
      return started
    },

    stats: () => ({ hits, misses, size: cache.size() }),
  }
}

/** Two verifiers for one issuer would make the outcome depend on their order. */
function indexByIssuer(verifiers: readonly TokenVerifier[]): ReadonlyMap<string, TokenVerifier> {
  const byIssuer = new Map<string, TokenVerifier>()
  for (const verifier of verifiers) {
    if (byIssuer.has(verifier.issuer)) {
      throw new Error(`The token issuer ${verifier.issuer} is configured twice`)
    }
    byIssuer.set(verifier.issuer, verifier)
  }
  return byIssuer
}

/** Frozen to the bottom, because requests of one token share it. */
function toPrincipal(token: VerifiedToken, userId: string): Principal {
  const { validUntilMs: _, ...rest } = token
  return freezeDeep({ ...rest, userId })
}

function freezeDeep<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const member of Object.values(value)) freezeDeep(member)
  return Object.freeze(value)
}
