import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isoTimestamp } from './timestamps.ts'

describe('times as text', () => {
  for (const [text, iso] of [
    ['2026-11-20 12:00:00.123+00', '2026-11-20T12:00:00.123Z'],
    ['2026-11-20 12:00:00+00', '2026-11-20T12:00:00.000Z'],
    ['2026-11-20 12:00:00.1+00', '2026-11-20T12:00:00.100Z'],
    ['2026-11-20 12:00:00.12+00', '2026-11-20T12:00:00.120Z'],
    ['0001-01-01 00:00:00+00', '0001-01-01T00:00:00.000Z'],
    ['2026-11-20 12:00:00', '2026-11-20T12:00:00.000Z'],
    ['2026-11-20 12:00:00.5', '2026-11-20T12:00:00.500Z'],
  ] as const)
    test(`${text} is ${iso}`, () => {
      assert.equal(isoTimestamp(text), iso)
      assert.equal(new Date(iso).toISOString(), iso)
    })

  test('digits below the millisecond are cut, so that a time never moves into the future', () => {
    assert.equal(isoTimestamp('2026-12-31 23:59:59.999999+00'), '2026-12-31T23:59:59.999Z')
    assert.equal(isoTimestamp('2026-12-31 23:59:59.999999'), '2026-12-31T23:59:59.999Z')
  })

  for (const text of [
    'infinity',
    '-infinity',
    '12026-11-20 12:00:00+00',
    '12026-11-20 12:00:00.12+00',
    '12026-11-20',
    '0044-03-15 12:00:00+00 BC',
    '0044-03-15 BC',
  ])
    test(`${text} is what no ISO time can say, and stays as it is`, () => {
      assert.equal(isoTimestamp(text), text)
    })
})
