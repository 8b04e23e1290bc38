import type { Clock } from '@quayside/platform/clock'

/** A clock that a test moves. */
export interface ManualClock extends Clock {
  advance(ms: number): void
  readonly nowMs: () => number
}

export function createManualClock(): ManualClock {
  let time = Date.parse('2026-11-20T12:00:00.000Z')
  return {
    now: () => new Date(time),
    nowMs: () => time,
    advance(ms) {
      time += ms
    },
  }
}
