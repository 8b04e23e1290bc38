import type { Clock } from '../clock.ts'
import { commonErrors } from '../errors.ts'
import type { JwsHeader } from './compact-jwt.ts'
import { fetchJson } from './fetch-json.ts'
import type { Fetch } from './fetch-json.ts'
import { readKeySet } from './key-set.ts'
import type { KeySet } from './key-set.ts'
import type { AsymmetricAlgorithm, VerificationKey } from './verification-key.ts'

/** Gives the key a token's header asks for; `undefined` when no configured key fits it. */
export interface KeyStore {
  /** Throws `keys_unavailable` when that cannot be known now. */
  find(header: JwsHeader): Promise<VerificationKey | undefined>
}

export interface KeyStoreDeps {
  /** The only address ever asked, or a function that finds it (OpenID discovery). */
  readonly url: string | (() => Promise<string>)
  readonly algorithms: readonly AsymmetricAlgorithm[]
  readonly clock: Clock
  readonly fetch?: Fetch
}

/**
 * Keys of one issuer, fetched when first used and kept for the answer's `Cache-Control: max-age`
 * (60 s to 24 h, 10 min without one). An unknown `kid` asks again, at most once in 30 s; a failing
 * key server leaves the old keys in force. Nothing runs while no token arrives.
 */
export function createKeyStore({
  url,
  algorithms,
  clock,
  fetch = globalThis.fetch,
}: KeyStoreDeps): KeyStore {
  let keys: KeySet | undefined
  let freshUntilMs = 0
  let refreshFromMs = 0
  let lastAttemptMs = Number.NEGATIVE_INFINITY
  let lastFailure: unknown
  let inFlight: Promise<void> | undefined

  async function fetchKeys(): Promise<void> {
    try {
      const address = typeof url === 'string' ? url : await url()
      const answer = await fetchJson(fetch, address, { headers: { accept: 'application/json' } })
      keys = await readKeySet(answer.body, algorithms)
      const lifeMs = freshnessMs(answer.headers)
      const nowMs = clock.now().getTime()
      freshUntilMs = nowMs + lifeMs
      refreshFromMs = nowMs + lifeMs * earlyRefreshShare
      lastFailure = undefined
    } catch (error) {
      lastFailure = error
    } finally {
      inFlight = undefined
    }
  }

  /** Never rejects: a failure is remembered, and matters only if no key is found. */
  function refresh(nowMs: number, cooldownMs: number): Promise<void> {
    if (inFlight !== undefined) return inFlight
    const elapsedMs = nowMs - lastAttemptMs
    // A clock that was set back must not stop refreshing until it has caught up.
    if (elapsedMs >= 0 && elapsedMs < cooldownMs) return Promise.resolve()
    lastAttemptMs = nowMs
    inFlight = fetchKeys()
    return inFlight
  }

  async function find(header: JwsHeader): Promise<VerificationKey | undefined> {
    // Anything outside the allow-list is wrong whatever the keys are: it costs no request.
    if (!algorithms.some((alg) => alg === header.alg)) return undefined
    const nowMs = clock.now().getTime()
    if (keys === undefined) await refresh(nowMs, firstRetryMs)
    else if (nowMs >= freshUntilMs) await refresh(nowMs, refetchCooldownMs)
    else if (nowMs >= refreshFromMs) void refresh(nowMs, refetchCooldownMs)

    let key = keys?.find(header)
    if (key === undefined && keys !== undefined) {
      await refresh(nowMs, refetchCooldownMs)
      key = keys.find(header)
    }
    if (key === undefined && lastFailure !== undefined) throw unavailable(lastFailure)
    return key === 'refused' ? undefined : key
  }

  return { find }
}

/** A store with one shared secret, for issuers that sign with HS256 (Supabase's legacy secret). */
export function createStaticKeyStore({
  secret,
}: {
  readonly secret: string | Uint8Array
}): KeyStore {
  const bytes = typeof secret === 'string' ? new TextEncoder().encode(secret) : secret
  const key: VerificationKey = { alg: 'HS256', key: bytes }
  return { find: ({ alg }) => Promise.resolve(alg === key.alg ? key : undefined) }
}

/** "Ask again later" for everything a token check depends on; 503, because the token may be good. */
export function unavailable(cause: unknown): Error {
  return commonErrors.keys_unavailable({ cause, headers: { 'Retry-After': '5' } })
}

const firstRetryMs = 5_000
const refetchCooldownMs = 30_000
// In the last fifth of the keys' life a use fetches new ones beside the request, so that in
// steady traffic no request ever waits for the key server.
const earlyRefreshShare = 0.8
const lifeMsDefault = 600_000
const lifeMsMin = 60_000
const lifeMsMax = 86_400_000

/** RFC 9111 §4.2.1, less the time the answer already spent in a cache on the way. */
function freshnessMs(headers: Headers): number {
  const maxAge = /(?:^|[\s,])max-age="?(\d{1,10})/i.exec(headers.get('cache-control') ?? '')?.[1]
  if (maxAge === undefined) return lifeMsDefault
  const age = /^\d{1,10}$/.exec(headers.get('age') ?? '')?.[0] ?? '0'
  const lifeMs = (Number(maxAge) - Number(age)) * 1000
  return Math.min(Math.max(lifeMs, lifeMsMin), lifeMsMax)
}
