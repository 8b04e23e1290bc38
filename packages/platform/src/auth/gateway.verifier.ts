import { createHash, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { commonErrors } from '../errors.ts'
import { clockSkewS, ownClaim, refuse, requireNumber, requireSubject } from './claims.ts'
import type { Claims } from './claims.ts'
import type { TokenVerifier } from './verifier.ts'

export interface GatewayVerifierDeps {
  /** The `iss` of the user pool behind the gateway. A token without `iss` is let through. */
  readonly issuer: string
  /** The kind of token the gateway's authorizer lets through; default either. */
  readonly tokenUse?: 'id' | 'access' | 'any'
  readonly clock: Clock
}

/**
 * For servers reachable only through an API gateway that has verified the token already: the
 * signature is **not** checked, and nothing but `sub` is believed. Safe only together with
 * `isGatewaySecret` on every request.
 */
export function createGatewayVerifier({
  issuer,
  tokenUse = 'any',
  clock,
}: GatewayVerifierDeps): TokenVerifier {
  if (issuer === '') throw new Error('Gateway mode: the issuer is missing')

  return {
    name: 'gateway',
    issuer,
    async verify(_token, { claims }) {
      const nowMs = clock.now().getTime()
      refuseContradictions(claims, issuer, tokenUse)
      const subject = requireSubject(claims, 255)
      return {
        issuer,
        subject,
        roles: [],
        scopes: [],
        assurance: 'aal1',
        claims: { sub: subject },
        via: 'gateway',
        validUntilMs: readEnd(claims, nowMs),
      }
    },
  }
}

/** Claims may be missing, since the gateway vouches; but they may not say the opposite. */
function refuseContradictions(claims: Claims, issuer: string, tokenUse: string): void {
  const iss = ownClaim(claims, 'iss')
  if (iss !== undefined && iss !== issuer) refuse('iss is not that of the pool')
  const use = ownClaim(claims, 'token_use')
  if (use === undefined) return
  const isExpected = tokenUse === 'any' ? use === 'id' || use === 'access' : use === tokenUse
  if (!isExpected) refuse('token_use is not accepted here')
}

/**
 * The gateway checked `exp` by its own clock, so a token just past it by ours is let through once
 * (and not cached); one without `exp` is asked about again after a minute.
 */
function readEnd(claims: Claims, nowMs: number): number {
  if (!Object.hasOwn(claims, 'exp')) return nowMs + 60_000
  const expMs = requireNumber(claims, 'exp') * 1000
  if (nowMs - expMs > clockSkewS * 1000) {
    throw commonErrors.token_expired({ cause: new Error('exp has passed') })
  }
  return expMs
}

/**
 * Compares the gateway's secret header in constant time; several expected secrets allow rotation.
 * False for a missing header, and an empty expected secret never matches.
 */
export function isGatewaySecret(
  given: string | undefined,
  expected: string | readonly string[],
): boolean {
  const givenHash = sha256(given ?? '')
  let isMatch = false
  for (const secret of typeof expected === 'string' ? [expected] : expected) {
    // Hashing first gives both sides one length, and no early exit tells which secret was near.
    const isEqual = timingSafeEqual(givenHash, sha256(secret))
    isMatch = (isEqual && secret !== '') || isMatch
  }
  return isMatch
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest()
}
