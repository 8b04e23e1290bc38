import type { Clock } from '../clock.ts'

/** A clock that stands still until a test moves it. */
export interface FakeClock extends Clock {
  advance(ms: number): void
  set(iso: string): void
}

/** Makes a clock that begins at `iso`. */
export function createFakeClock(iso = '2026-01-01T00:00:00.000Z'): FakeClock {
  let nowMs = Date.parse(iso)
  return {
    now: () => new Date(nowMs),
    advance(ms) {
      nowMs += ms
    },
    set(next) {
      nowMs = Date.parse(next)
    },
  }
}
