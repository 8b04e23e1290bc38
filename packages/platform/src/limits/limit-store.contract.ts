import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import type { LimitResult, LimitRule, LimitStore } from './limit-store.ts'

/** What a test run lends the suite: two stores that share one count, and their time. */
export interface LimitStoreBed {
  readonly store: LimitStore
  /** The same count seen by another node; the same store where there is only one process. */
  readonly otherNode: LimitStore
  /** Lets time pass until the condition holds, and fails after a deadline. */
  until(condition: () => Promise<boolean>): Promise<void>
  /** Milliseconds of the same time. */
  nowMs(): number
  close(): Promise<void>
}

/** Registers what every `LimitStore` must do. Rule names are unique to each test. */
export function describeLimitStore(title: string, openBed: () => Promise<LimitStoreBed>): void {
  describe(`limit store: ${title}`, () => {
    let bed: LimitStoreBed
    before(async () => {
      bed = await openBed()
    })
    after(async () => bed.close())
    const take = async (key: string, rule: LimitRule, cost?: number): Promise<LimitResult> =>
      bed.store.take(key, rule, cost)

    test('the quota is let through, counted down, and the next hit is refused', async () => {
      const rule = ruleOf(3, 60)
      const results = []
      for (let hit = 0; hit < 5; hit += 1) results.push(await take('a', rule))
      assert.deepEqual(
        results.map(({ allowed, remaining }) => [allowed, remaining]),
        [
          [true, 2],
          [true, 1],
          [true, 0],
          [false, 0],
          [false, 0],
        ],
      )
      for (const { resetSeconds } of results) assertWithin(resetSeconds, 1, 60)
    })

    test('of 50 parallel hits on a quota of 10 exactly 10 pass', async () => {
      const rule = ruleOf(10, 60)
      const results = await Promise.all(
        Array.from({ length: 50 }, async (_, hit) =>
          (hit % 2 === 0 ? bed.store : bed.otherNode).take('a', rule),
        ),
      )
      const passed = results.filter(({ allowed }) => allowed)
      assert.equal(passed.length, 10)
      assert.deepEqual(
        passed.map(({ remaining }) => remaining).toSorted((a, b) => a - b),
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
      )
    })

    test('two nodes share one quota', async () => {
      const rule = ruleOf(2, 60)
      assert.equal((await take('a', rule)).remaining, 1)
      assert.equal((await bed.otherNode.take('a', rule)).remaining, 0)
      assert.equal((await take('a', rule)).allowed, false)
      assert.equal((await bed.otherNode.take('a', rule)).allowed, false)
    })

    test('a window ends on time though its key keeps trying, and not before', async () => {
      const rule = ruleOf(2, 1)
      const beganMs = bed.nowMs()
      await take('a', rule)
      await take('a', rule)
      const refused = await take('a', rule)
      // Refusal can be missed only where the machine stood still for the whole window.
      if (bed.nowMs() - beganMs < 1000) {
        assert.deepEqual(refused, { allowed: false, remaining: 0, resetSeconds: 1 })
      }
      let next = refused
      await bed.until(async () => {
        next = await take('a', rule)
        return next.allowed
      })
      // 2 ms are the rounding of two clocks that count whole milliseconds.
      assert.ok(bed.nowMs() - beganMs >= 998, 'the window ended early')
      assert.deepEqual(next, { allowed: true, remaining: 1, resetSeconds: 1 })
    })

    test('keys and rules do not share their counts', async () => {
      const [one, two] = [ruleOf(1, 60), ruleOf(1, 60)]
      for (const [key, rule] of [
        ['a', one],
        ['b', one],
        ['a', two],
        ['b', two],
      ] as const) {
        assert.equal((await take(key, rule)).allowed, true)
        assert.equal((await take(key, rule)).allowed, false)
      }
    })

    test('a cost that does not fit takes nothing', async () => {
      const rule = ruleOf(10, 60)
      const steps: [cost: number, allowed: boolean, remaining: number][] = [
        [11, false, 10],
        [7, true, 3],
        [4, false, 3],
        [2_000_000_000, false, 3],
        [3, true, 0],
        [1, false, 0],
      ]
      for (const [cost, allowed, remaining] of steps) {
        const result = await take('a', rule, cost)
        assert.deepEqual([result.allowed, result.remaining], [allowed, remaining], `cost ${cost}`)
      }
    })

    test('a cost that is no whole number from 1 is an error and takes nothing', async () => {
      const rule = ruleOf(1, 60)
      for (const cost of [0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
        await assert.rejects(async () => take('a', rule, cost), RangeError, `cost ${cost}`)
      }
      assert.equal((await take('a', rule)).allowed, true)
    })

    test('a key of any characters and any length has a count of its own', async () => {
      const rule = ruleOf(1, 60)
      const long = 'x'.repeat(100_000)
      const keys = [
        '',
        ' ',
        'a\0b',
        'a',
        'A',
        '{}',
        '}{',
        "';--",
        'ä',
        'a\u0308',
        '😀',
        '__proto__',
      ]
      for (const key of [...keys, 'constructor', '\ud800', long, `${long}y`]) {
        assert.equal((await take(key, rule)).allowed, true, JSON.stringify(key.slice(0, 20)))
        assert.equal((await take(key, rule)).allowed, false, JSON.stringify(key.slice(0, 20)))
      }
    })

    test('a rule made shorter holds nobody longer than its new window', async () => {
      const long = ruleOf(1, 3600)
      const short = { ...long, windowSeconds: 1 }
      await take('a', long)
      const refused = await take('a', short)
      assert.deepEqual(refused, { allowed: false, remaining: 0, resetSeconds: 1 })
      await bed.until(async () => (await take('a', short)).allowed)
    })

    test('a rule with a smaller quota counts what was taken before', async () => {
      const wide = ruleOf(10, 60)
      await take('a', wide, 5)
      const result = await take('a', { ...wide, quota: 3 })
      assert.deepEqual([result.allowed, result.remaining], [false, 0])
      assert.equal((await take('a', wide, 5)).remaining, 0)
    })
  })
}

/** A rule that no other test or run knows. */
export function ruleOf(quota: number, windowSeconds: number): LimitRule {
  return { name: `r${randomUUID()}`, quota, windowSeconds }
}

function assertWithin(value: number, min: number, max: number): void {
  assert.ok(Number.isInteger(value) && value >= min && value <= max, `${value} in ${min}–${max}`)
}
