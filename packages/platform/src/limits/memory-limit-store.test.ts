import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { describeLimitStore } from './limit-store.contract.ts'
import { createMemoryLimitStore } from './memory-limit-store.ts'
import { createFakeClock } from '../testing/fake-clock.ts'

describeLimitStore('memory', async () => {
  const clock = createFakeClock()
  const store = createMemoryLimitStore({ clock })
  return {
    store,
    otherNode: store,
    async until(condition) {
      for (let passed = 0; !(await condition()); passed += 1) {
        assert.ok(passed < 10_000, 'It did not happen within 10 s.')
        clock.advance(1)
      }
    },
    nowMs: () => clock.now().getTime(),
    close: () => store.close(),
  }
})

const perMinute = { name: 'default', quota: 2, windowSeconds: 60 }
const signIn = { name: 'sign-in', quota: 1, windowSeconds: 3600 }

describe('memory limit store', () => {
  test('answers without a promise', () => {
    const store = createMemoryLimitStore({ clock: createFakeClock() })
    assert.deepEqual(store.take('a', perMinute), { allowed: true, remaining: 1, resetSeconds: 60 })
  })

  test('a window ends to the millisecond, seconds are rounded up', () => {
    const clock = createFakeClock()
    const store = createMemoryLimitStore({ clock })
    store.take('a', perMinute, 2)
    const steps: [advanceMs: number, allowed: boolean, resetSeconds: number][] = [
      [1, false, 60],
      [999, false, 59],
      [58_000, false, 1],
      [999, false, 1],
      [1, true, 60],
    ]
    for (const [advanceMs, allowed, resetSeconds] of steps) {
      clock.advance(advanceMs)
      const result = store.take('a', perMinute)
      assert.deepEqual([result.allowed, result.resetSeconds], [allowed, resetSeconds])
    }
  })

  test('a clock set back or forth shuts nobody out for longer than a window', () => {
    const clock = createFakeClock()
    const store = createMemoryLimitStore({ clock })
    store.take('a', perMinute, 2)
    clock.advance(-3_600_000)
    assert.deepEqual(store.take('a', perMinute), {
      allowed: false,
      remaining: 0,
      resetSeconds: 60,
    })
    clock.advance(60_000)
    assert.equal(store.take('a', perMinute).allowed, true)
    clock.advance(3_600_000)
    assert.equal(store.take('a', perMinute, 2).allowed, true)
  })

  test('200,000 keys leave no more windows than the maximum', () => {
    const store = createMemoryLimitStore({ clock: createFakeClock() })
    let most = 0
    for (let key = 0; key < 200_000; key += 1) {
      store.take(`key-${key}`, perMinute)
      most = Math.max(most, store.keyCount())
    }
    assert.equal(most, 100_000)
    assert.equal(store.keyCount(), 100_000)
  })

  test('when all windows are live the oldest ones go', () => {
    const store = createMemoryLimitStore({ clock: createFakeClock(), keysMax: 3 })
    for (const key of ['a', 'b', 'c', 'd']) store.take(key, perMinute, 2)
    assert.equal(store.keyCount(), 3)
    for (const key of ['b', 'c', 'd']) assert.equal(store.take(key, perMinute).allowed, false)
    assert.equal(store.take('a', perMinute).allowed, true)
  })

  test('a flood against one rule does not wash out the counts of another', () => {
    const store = createMemoryLimitStore({ clock: createFakeClock(), keysMax: 100 })
    for (let key = 0; key < 10; key += 1) store.take(`victim-${key}`, signIn)
    for (let key = 0; key < 10_000; key += 1) store.take(`flood-${key}`, perMinute)
    assert.equal(store.keyCount(), 100)
    for (let key = 0; key < 10; key += 1) {
      assert.equal(store.take(`victim-${key}`, signIn).allowed, false)
    }
  })

  test('ended windows make room before any live one goes, whatever rule they are of', () => {
    for (let position = 0; position < 4; position += 1) {
      const clock = createFakeClock()
      const store = createMemoryLimitStore({ clock, keysMax: 4 })
      const live = ['sign-in', 'sign-up', 'recover'].map((name) => ({ ...signIn, name }))
      for (const rule of live.toSpliced(position, 0, perMinute)) store.take('a', rule)
      clock.advance(60_000)
      store.take('b', signIn)
      assert.equal(store.keyCount(), 4)
      for (const rule of live) assert.equal(store.take('a', rule).allowed, false, rule.name)
    }
  })

  test('ended windows are swept as others begin, also those of a rule gone quiet', () => {
    const clock = createFakeClock()
    const store = createMemoryLimitStore({ clock })
    for (let key = 0; key < 1000; key += 1) store.take(`a-${key}`, perMinute)
    for (let key = 0; key < 1000; key += 1) store.take(`b-${key}`, signIn)
    assert.equal(store.keyCount(), 2000)
    clock.advance(3_600_000)
    for (let key = 0; key < 1000; key += 1) store.take(`c-${key}`, perMinute)
    assert.equal(store.keyCount(), 1000)
  })

  test('sweeping an ended window leaves the one that its key has begun since', () => {
    const clock = createFakeClock()
    const store = createMemoryLimitStore({ clock })
    for (const key of ['a', 'b', 'c', 'd', 'e']) store.take(key, perMinute)
    clock.advance(60_000)
    store.take('e', perMinute, 2)
    for (const key of ['f', 'g', 'h', 'i']) store.take(key, perMinute)
    assert.equal(store.keyCount(), 5)
    assert.equal(store.take('e', perMinute).allowed, false)
  })

  test('a key that begins anew each window is held once', () => {
    const clock = createFakeClock()
    const store = createMemoryLimitStore({ clock })
    for (let round = 0; round < 100; round += 1) {
      assert.equal(store.take('a', perMinute, 2).allowed, true)
      assert.equal(store.take('a', perMinute).allowed, false)
      clock.advance(60_000)
    }
    assert.equal(store.keyCount(), 1)
  })
})
