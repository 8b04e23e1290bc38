import type { Clock } from '../clock.ts'
import { heldLimitKey } from './limit-key.ts'
import { assertCost } from './limit-store.ts'
import type { LimitResult, LimitRule, LimitStore } from './limit-store.ts'

/** A `LimitStore` that answers at once and can say how much it holds. */
export interface MemoryLimitStore extends LimitStore {
  take(key: string, rule: LimitRule, cost?: number): LimitResult
  /** Windows held at this moment, ended ones that are not swept yet included. */
  keyCount(): number
}

/**
 * Limits of this one process, for the hot path: no promise, no timer, at most `keysMax` windows.
 * Ended windows are swept a few at a time as new ones begin. When only live ones are left, the
 * oldest window of the rule that holds the most is dropped: a flood of new addresses against one
 * rule then costs that rule its memory, and cannot wash out the counts of a sign-in limit.
 */
export function createMemoryLimitStore(deps: {
  readonly clock: Clock
  readonly keysMax?: number
}): MemoryLimitStore {
  const { clock, keysMax = 100_000 } = deps
  const books = new Map<string, Book>()
  const rota: Book[] = []
  let turn = 0
  let held = 0

  function take(key: string, rule: LimitRule, cost = 1): LimitResult {
    assertCost(cost)
    const now = clock.now().getTime()
    const windowMs = rule.windowSeconds * 1000
    const book = books.get(rule.name) ?? openBook(rule.name)
    const heldKey = heldLimitKey(key)
    let window = book.byKey.get(heldKey)
    if (window === undefined || window.endsAt <= now) {
      window = begin(book, heldKey, now, now + windowMs)
    } else if (window.endsAt > now + windowMs) {
      // The clock was set back or the rule was shortened. Nobody waits longer than one window.
      window.endsAt = now + windowMs
    }
    const allowed = window.hits + cost <= rule.quota
    if (allowed) window.hits += cost
    return {
      allowed,
      remaining: Math.max(0, rule.quota - window.hits),
      resetSeconds: Math.ceil((window.endsAt - now) / 1000),
    }
  }

  function openBook(name: string): Book {
    const book: Book = { byKey: new Map(), oldest: undefined, newest: undefined, count: 0 }
    books.set(name, book)
    rota.push(book)
    return book
  }

  function begin(book: Book, key: string, now: number, endsAt: number): Window {
    sweep(book, now)
    // Rules that are quiet now must not keep the windows of a past flood for ever.
    turn = (turn + 1) % rota.length
    const next = rota[turn]
    if (next !== undefined) sweep(next, now)
    if (held >= keysMax) dropOldest(bookToCut(rota, now) ?? book)

    const window: Window = { key, hits: 0, endsAt, next: undefined }
    book.byKey.set(key, window)
    if (book.newest === undefined) book.oldest = window
    else book.newest.next = window
    book.newest = window
    book.count += 1
    held += 1
    return window
  }

  /** Two for each one that begins: faster than they can come, and never a long pause. */
  function sweep(book: Book, now: number): void {
    for (let swept = 0; swept < 2; swept += 1) {
      if (book.oldest === undefined || book.oldest.endsAt > now) return
      dropOldest(book)
    }
  }

  function dropOldest(book: Book): void {
    const window = book.oldest
    if (window === undefined) return
    book.oldest = window.next
    if (book.oldest === undefined) book.newest = undefined
    book.count -= 1
    held -= 1
    // A key whose window began anew has a younger entry further back in the line.
    if (book.byKey.get(window.key) === window) book.byKey.delete(window.key)
  }

  return { take, keyCount: () => held, close: async () => {} }
}

interface Window {
  readonly key: string
  hits: number
  endsAt: number
  next: Window | undefined
}

/**
 * The windows of one rule, and the line in which they began. The line is kept by hand because a
 * JavaScript `Map` walks over its deleted entries again each time its first key is asked for.
 */
interface Book {
  readonly byKey: Map<string, Window>
  oldest: Window | undefined
  newest: Window | undefined
  count: number
}

function bookToCut(books: readonly Book[], now: number): Book | undefined {
  let fullest: Book | undefined
  for (const book of books) {
    if (book.oldest !== undefined && book.oldest.endsAt <= now) return book
    if (fullest === undefined || book.count > fullest.count) fullest = book
  }
  return fullest
}
