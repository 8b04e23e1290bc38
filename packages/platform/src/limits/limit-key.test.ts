import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { heldLimitKey, storedLimitKey } from './limit-key.ts'

const rule = { name: 'default', quota: 1, windowSeconds: 1 }

describe('the key of a limit', () => {
  test('in memory a short key is itself and a long one takes 128 characters', () => {
    assert.equal(heldLimitKey('192.0.2.1'), '192.0.2.1')
    assert.equal(heldLimitKey('x'.repeat(127)), 'x'.repeat(127))
    for (const length of [128, 129, 100_000]) {
      assert.equal(heldLimitKey('x'.repeat(length)).length, 128)
    }
  })

  test('nobody can choose a key that lands in the count of a long one', () => {
    const held = heldLimitKey('x'.repeat(1000))
    assert.notEqual(heldLimitKey(held), held)
  })

  test('in a shared store a key of any length is equally short and shows its rule', () => {
    for (const key of ['', 'a\0b', '\ud800', 'x'.repeat(100_000)]) {
      assert.match(storedLimitKey(key, rule), /^default:[\w-]{43}$/)
    }
  })
})
