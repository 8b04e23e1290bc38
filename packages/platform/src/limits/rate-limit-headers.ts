import { commonErrors } from '../errors.ts'
import type { AppError } from '../errors.ts'
import type { DefinedLimitRule, LimitResult } from './limit-store.ts'

/** `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers, for every reply. */
export function rateLimitHeaders(rule: DefinedLimitRule, result: LimitResult) {
  return {
    'RateLimit-Policy': rule.policy,
    RateLimit: `"${rule.name}";r=${result.remaining};t=${result.resetSeconds}`,
  }
}

/**
 * The 429 for a take that was refused. `Retry-After` is the end of the window, as the draft forbids
 * an earlier one, and `violated-policies` names the rule in the problem document.
 */
export function rateLimited(rule: DefinedLimitRule, result: LimitResult): AppError<'rate_limited'> {
  return commonErrors.rate_limited({
    headers: {
      'Retry-After': String(result.resetSeconds),
      ...rateLimitHeaders(rule, result),
    },
    extra: { 'violated-policies': [rule.name] },
  })
}
