import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { defineLimitRule } from './limit-store.ts'
import { rateLimited, rateLimitHeaders } from './rate-limit-headers.ts'

const rule = defineLimitRule({ name: 'default', quota: 100, windowSeconds: 60 })

describe('rate limit headers', () => {
  test('a reply names the policy and what is left, as in the draft', () => {
    assert.deepEqual(rateLimitHeaders(rule, { allowed: true, remaining: 50, resetSeconds: 30 }), {
      'RateLimit-Policy': '"default";q=100;w=60',
      RateLimit: '"default";r=50;t=30',
    })
  })

  test('a refusal is a 429 that says when to come back and which policy it broke', () => {
    const error = rateLimited(rule, { allowed: false, remaining: 0, resetSeconds: 7 })
    assert.equal(error.status, 429)
    assert.equal(error.code, 'rate_limited')
    assert.deepEqual(error.headers, {
      'Retry-After': '7',
      'RateLimit-Policy': '"default";q=100;w=60',
      RateLimit: '"default";r=0;t=7',
    })
    assert.deepEqual(error.extra, { 'violated-policies': ['default'] })
  })
})

describe('the definition of a limit', () => {
  test('a rule cannot be changed once it is defined', () => {
    assert.ok(Object.isFrozen(rule))
  })

  const good = { name: 'default', quota: 100, windowSeconds: 60 }
  const refused: [what: string, change: Partial<typeof good>][] = [
    ['no name', { name: '' }],
    ['a name that breaks out of the header', { name: 'a"\r\nSet-Cookie: x' }],
    ['a name with a key separator', { name: 'a:b' }],
    ['a name of 65 characters', { name: 'a'.repeat(65) }],
    ['a quota of nothing', { quota: 0 }],
    ['a negative quota', { quota: -1 }],
    ['a quota that is no number', { quota: Number.NaN }],
    ['an endless quota', { quota: Number.POSITIVE_INFINITY }],
    ['half a hit', { quota: 0.5 }],
    ['no window', { windowSeconds: 0 }],
    ['a window in fractions', { windowSeconds: 1.5 }],
    ['a window that is no number', { windowSeconds: Number.NaN }],
  ]
  for (const [what, change] of refused) {
    test(`${what} is refused at start`, () => {
      assert.throws(() => defineLimitRule({ ...good, ...change }), RangeError)
    })
  }
})
