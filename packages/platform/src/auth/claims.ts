import { commonErrors } from '../errors.ts'

export type Claims = Readonly<Record<string, unknown>>

/** How far, in seconds, an issuer's clock may run ahead of ours. `exp` gets no such tolerance. */
export const clockSkewS = 60

/** Refuses the token. The reason goes to the log only, so that it teaches an attacker nothing. */
export function refuse(reason: string): never {
  throw commonErrors.token_invalid({ cause: new Error(reason) })
}

/** A claim of the token itself, never something inherited such as `constructor`. */
export function ownClaim(claims: Claims, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined
}

/** The subject: well-formed text of 1 to `lengthMax` characters, without control characters. */
export function requireSubject(claims: Claims, lengthMax: number): string {
  const sub = ownClaim(claims, 'sub')
  if (typeof sub !== 'string') return refuse('sub is missing or not a string')
  if (sub.length === 0 || sub.length > lengthMax) return refuse('sub has a wrong length')
  // PostgreSQL cannot store U+0000, and lone surrogates would all be stored as U+FFFD: two
  // subjects would become one user.
  if (!sub.isWellFormed() || controlCharacters.test(sub)) return refuse('sub is not plain text')
  return sub
}

const controlCharacters = /\p{Cc}/u

/**
 * Checks `exp`, `iat`, `nbf` and those named in `alsoPast`; returns `exp` in milliseconds.
 * `exp` and `iat` are required. Call it after the signature check: only a token that is otherwise
 * good may be told that it has expired.
 */
export function requireTimes(
  claims: Claims,
  nowMs: number,
  alsoPast: readonly string[] = [],
): number {
  const exp = requireNumber(claims, 'exp')
  const latestS = nowMs / 1000 + clockSkewS
  for (const name of ['iat', ...alsoPast]) {
    if (requireNumber(claims, name) > latestS) refuse(`${name} is in the future`)
  }
  if (Object.hasOwn(claims, 'nbf') && requireNumber(claims, 'nbf') > latestS) {
    refuse('nbf is in the future')
  }
  const expMs = exp * 1000
  if (expMs <= nowMs) throw commonErrors.token_expired({ cause: new Error('exp has passed') })
  return expMs
}

/** A claim that must be there and be a finite number (RFC 7519 NumericDate: seconds). */
export function requireNumber(claims: Claims, name: string): number {
  const value = ownClaim(claims, name)
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    return refuse(`${name} is missing or not a number`)
  }
  return value
}

/** One name, or the strings of a list; anything else is no name at all. */
export function namesIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return value === '' ? [] : [value]
  return Array.isArray(value) ? value.filter((name) => typeof name === 'string') : []
}

/** `scope` as in RFC 8693 §4.2, or `scp` as Microsoft (text) and Okta (list) write it. */
export function readScopes(claims: Claims): readonly string[] {
  const value = ownClaim(claims, 'scope') ?? ownClaim(claims, 'scp')
  return namesIn(value).flatMap((text) => text.split(' ').filter((scope) => scope !== ''))
}

/** The session the token belongs to, from the first of these claims that has one. */
export function sessionFrom(
  claims: Claims,
  names: readonly string[],
): { readonly sessionId?: string } {
  for (const name of names) {
    const value = ownClaim(claims, name)
    if (typeof value === 'string' && value !== '') return { sessionId: value }
  }
  return {}
}

/** Refuses every `typ` header but the given ones; compared as RFC 7515 §4.1.9 asks, without case. */
export function requireType(typ: string | undefined, allowed: readonly string[]): void {
  if (typ !== undefined && !allowed.includes(typ.toLowerCase())) refuse('typ is not accepted here')
}
