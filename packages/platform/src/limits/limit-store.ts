/**
 * Counts hits per key and rule in a fixed window that begins with the key's first hit. Every
 * adapter counts alike, and `limit-store.contract.ts` holds them to it: a take either fits and is
 * counted whole, or it is refused and changes nothing, so being refused never prolongs a window.
 */
export interface LimitStore {
  /**
   * Takes `cost` (a whole number from 1, else `RangeError`) from the key's quota. The memory
   * adapter answers at once, without a promise, because it stands in the way of every request.
   */
  take(key: string, rule: LimitRule, cost?: number): LimitResult | Promise<LimitResult>
  /** Gives up what the store itself holds. Connections handed to it belong to whoever made them. */
  close(): Promise<void>
}

/** At most `quota` hits in `windowSeconds`. Rules with different names never share a count. */
export interface LimitRule {
  readonly name: string
  readonly quota: number
  readonly windowSeconds: number
}

/** A rule that was checked by `defineLimitRule` and carries its `RateLimit-Policy` value. */
export interface DefinedLimitRule extends LimitRule {
  readonly policy: string
}

export interface LimitResult {
  readonly allowed: boolean
  readonly remaining: number
  /** Whole seconds, rounded up, until the window ends; never below 1. */
  readonly resetSeconds: number
}

/**
 * Checks a rule once, at start, and spells its policy as in draft-ietf-httpapi-ratelimit-headers.
 * Throws `RangeError` for a rule that would let everybody or nobody through by mistake.
 */
export function defineLimitRule({ name, quota, windowSeconds }: LimitRule): DefinedLimitRule {
  // The name goes unescaped into a structured header and into the keys of every store.
  if (!/^[a-z][a-z0-9_-]{0,63}$/.test(name)) {
    throw new RangeError(`The limit name ${JSON.stringify(name)} is not a short lower-case word.`)
  }
  assertWhole(`The quota of limit ${name}`, quota)
  assertWhole(`The window in seconds of limit ${name}`, windowSeconds)
  const policy = `"${name}";q=${quota};w=${windowSeconds}`
  return Object.freeze({ name, quota, windowSeconds, policy })
}

/**
 * Refuses a cost that is not a whole number from 1: a negative one would hand quota back, and
 * `NaN` would poison the count so that nothing is ever refused again.
 */
export function assertCost(cost: number): void {
  assertWhole('The cost of a take', cost)
}

/** PostgreSQL's `integer` ends a little above this; no sensible limit comes near. */
const wholeMax = 2_000_000_000

function assertWhole(what: string, value: number): void {
  if (!Number.isInteger(value) || value < 1 || value > wholeMax) {
    throw new RangeError(`${what} must be a whole number from 1 to ${wholeMax}, not ${value}.`)
  }
}
