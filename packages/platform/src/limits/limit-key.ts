import { hash } from 'node:crypto'
import type { LimitRule } from './limit-store.ts'

/**
 * The key as Redis and PostgreSQL hold it. Callers put addresses, e-mail addresses and other input
 * into keys; the digest keeps those out of the store, makes every key equally short (a B-tree entry
 * ends at 2.7 kB) and takes any character (`text` refuses NUL).
 */
export function storedLimitKey(key: string, rule: LimitRule): string {
  return `${rule.name}:${hash('sha256', key, 'base64url')}`
}

const heldLengthMax = 127

/**
 * The key as the memory store holds it: itself, unless it is so long that many of them would fill
 * the heap. The 128 hex digits of the digest are longer than any key that is kept as it is, so
 * nobody can choose a key that lands in another's count.
 */
export function heldLimitKey(key: string): string {
  return key.length > heldLengthMax ? hash('sha512', key, 'hex') : key
}
