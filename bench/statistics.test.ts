import assert from 'node:assert/strict'
import { test } from 'node:test'
import { percentileOf, spreadOf } from './statistics.ts'

test('the median of rounds is the middle one, or the mean of the two middle ones, in any order', () => {
  assert.deepEqual(spreadOf([9, 1, 10]), { median: 9, least: 1, most: 10 })
  assert.deepEqual(spreadOf([10, 2, 4, 1]), { median: 3, least: 1, most: 10 })
  assert.deepEqual(spreadOf([7]), { median: 7, least: 7, most: 7 })
})

test('percentiles follow the nearest rank', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => index + 1)
  const cases: readonly (readonly [number, number])[] = [
    [0, 1],
    [0.5, 50],
    [0.99, 99],
    [0.991, 100],
    [1, 100],
  ]
  for (const [share, expected] of cases) assert.equal(percentileOf(hundred, share), expected)
})

test('nothing measured is an error and not a number', () => {
  assert.throws(() => spreadOf([]), RangeError)
  assert.throws(() => percentileOf([], 0.5), RangeError)
})
