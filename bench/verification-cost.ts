import { createTokenAuthenticator } from '@quayside/platform/auth/authenticator'
import { createOidcVerifier } from '@quayside/platform/auth/oidc.verifier'
import { systemClock } from '@quayside/platform/clock'
import type { Issuer } from './issuer.ts'

export interface VerificationCost {
  readonly cachedMicros: number
  readonly uncachedMicros: number
}

const warmUps = 300
const samples = 1_000
const copiesPerToken = 20

/**
 * CPU microseconds of turning one RS256 token into a principal, all threads counted: the first
 * time, and from the cache. Looking up the user is left out, for that is a query and not a check.
 */
export async function measureVerification(issuer: Issuer): Promise<VerificationCost> {
  const verifier = createOidcVerifier({
    issuer: issuer.issuer,
    audience: issuer.audience,
    algorithms: ['RS256'],
    jwksUri: issuer.jwksUri,
    clock: systemClock,
  })
  const authenticator = createTokenAuthenticator({
    verifiers: [verifier],
    resolveUser: async () => '019b0000-0000-7000-8000-000000000000',
    clock: systemClock,
  })
  const tokens = Array.from({ length: warmUps + samples }, (_, each) =>
    issuer.issueToken(`verification-${each}`),
  )
  for (const token of tokens.slice(0, warmUps)) await authenticator.authenticate(token)
  const fresh = tokens.slice(warmUps)
  const uncachedMicros = await cpuPerCall(fresh.length, async () => {
    for (const token of fresh) await authenticator.authenticate(token)
  })

  // A request brings its token as a new string, whose hash the engine has yet to compute. The
  // first half warms up.
  const copies = Array.from({ length: copiesPerToken }, () =>
    fresh.map((token) => Buffer.from(token).toString('latin1')),
  ).flat()
  const half = copies.length / 2
  const lookUp = (texts: readonly string[]) => {
    for (const text of texts) {
      if (authenticator.cached(text) === undefined) throw new Error('It was not in the cache.')
    }
  }
  lookUp(copies.slice(0, half))
  const measured = copies.slice(half)
  const cachedMicros = await cpuPerCall(measured.length, async () => lookUp(measured))
  return { cachedMicros, uncachedMicros }
}

async function cpuPerCall(calls: number, work: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / calls
}
