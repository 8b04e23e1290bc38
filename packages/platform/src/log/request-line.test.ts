import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { pino } from 'pino'
import { isPlainPath, redactUrl } from './redact-url.ts'
import { createRedactor, redactText } from './redact.ts'
import type { RequestLine } from './request-line.ts'
import { requestLine } from './request-line.ts'
import { captureLog } from './testing/captured-log.ts'

const line: RequestLine = {
  method: 'GET',
  route: '/auth/orders/{id}',
  url: '/auth/orders/3f2504e0-4f89-41d3-9a0c-0305e82c3301',
  status: 200,
  durationMs: 1.2345678,
  requestId: 'AbCdEfGh-1z4',
  userId: '3f2504e0-4f89-41d3-9a0c-0305e82c3302',
  address: '2001:db8::1',
  bytes: 2315,
  userAgent: 'okhttp/4.12.0',
}

test('the line equals the one that pino itself would write', async () => {
  const { logger, lines } = await captureLog()
  const child = logger.child({ instance: 'a' })
  requestLine(child, line)
  child.info({ ...line, durationMs: 1.235 }, 'request')
  assert.equal(lines()[0], lines()[1])
})

test('the line is also written in the pretty format and without the optional fields', async () => {
  const { method, route, url, status, durationMs, requestId } = line
  const { logger, lines } = await captureLog({ format: 'pretty' })
  requestLine(logger, { method, route, url, status, durationMs, requestId })
  assert.equal(lines().length, 1)
  assert.match(lines()[0] ?? '', /INFO: request \{"method":"GET",.*"requestId":"AbCdEfGh-1z4"\}$/)
})

test('above the info level nothing is computed', async () => {
  const { logger, text } = await captureLog({ level: 'warn' })
  const untouchable = new Proxy(line, {
    get: () => assert.fail('a field was read'),
  })
  requestLine(logger, untouchable)
  assert.equal(text(), '')
})

test('a logger of another making gets the same fields', () => {
  let text = ''
  requestLine(pino({}, { write: (part) => void (text += part) }), line)
  assert.match(text, /"route":"\/auth\/orders\/\{id\}".*"msg":"request"/)
})

test('numbers that JSON does not know become null', async () => {
  const { logger, records } = await captureLog()
  requestLine(logger, { ...line, status: Number.NaN, durationMs: Infinity, bytes: -Infinity })
  const { status, durationMs, bytes } = records()[0] ?? {}
  assert.deepEqual([status, durationMs, bytes], [null, null, null])
})

describe('the URL', () => {
  const redactor = createRedactor()
  const long = 'x'.repeat(65)
  const table: [url: string, expected: string][] = [
    [
      '/auth/orders?limit=20&cursor=abc&from=2024-10-05',
      '/auth/orders?limit=20&cursor=abc&from=2024-10-05',
    ],
    ['/cb?code=abc&state=def&x=1', '/cb?code=[redacted]&state=[redacted]&x=1'],
    ['/cb?%74oken=abc', '/cb?token=[redacted]'],
    ['/cb?user[password]=abc&a.b.otp=1', '/cb?user[password]=[redacted]&a.b.otp=[redacted]'],
    ['/s?q=anna%40example.com', '/s?q=a***@e***.com'],
    ['/s?phone=4915112345678', '/s?phone=***78'],
    ['/s?q=%2B4915112345678', '/s?q=***78'],
    [`/s?q=${long}&b=1`, '/s?q=[65 characters]&b=1'],
    ['/u/anna@example.com', '/u/a***@e***.com'],
    ['/u/anna%40example.com/x', '/u/a***@e***.com/x'],
    ['/reset/kX92mQpLwTzR4vNb7YcHd3JsGf6Ke1aU', '/reset/[redacted]'],
    ['/s?next=%2Fx%3Ftoken%3Dabc', '/s?next=/x?token=[redacted]'],
    ['/s?flag', '/s?flag'],
    ['/s?', '/s?'],
    ['*', '*'],
    ['/%zz?%zz=1', '/%zz?%zz=1'],
  ]
  for (const [url, expected] of table) {
    test(`${url.slice(0, 60)} is logged as ${expected}`, () => {
      assert.equal(redactUrl(url, redactor), expected)
    })
  }
  test('of any length and number of parameters becomes a bounded one', () => {
    const many = `/s?${'a=1&'.repeat(5000)}`
    assert.ok(redactUrl(many, redactor).length < 200)
    assert.ok(redactUrl(`/${'a/'.repeat(10_000)}`, redactor).length < 1100)
  })
  test('takes the fast way only when the slow one would change nothing', () => {
    const segments = fc.constantFrom(
      'auth',
      'orders',
      'v1',
      'AbCdEf',
      'a.b~c',
      '12345',
      '415-555-2671',
      '01511234567',
      'a@b.de',
      '%40',
      'eyJhbGciOiJSUzI1NiJ9',
      'kX92mQpLwTzR4vNb7YcHd3JsGf6Ke1aU',
      line.userId ?? '',
      'SG.abcdef.ghijkl',
      'qk_abcdef123',
      'Bearer',
      '',
      'x=1',
      '+4915112345678',
    )
    let fast = 0
    fc.assert(
      fc.property(fc.array(segments, { minLength: 1, maxLength: 5 }), (parts) => {
        const url = `/${parts.join('/')}`
        if (!isPlainPath(url)) return
        fast++
        assert.equal(redactText(url), url)
      }),
      { numRuns: 1000, seed: 3 },
    )
    assert.ok(fast > 20, String(fast))
  })
})

test('fields that clients fill are scrubbed unless their form is harmless', async () => {
  const { logger, records } = await captureLog()
  const random = 'kX92mQpLwTzR4vNb7YcHd3JsGf6Ke1aUoRiXtB5n'
  requestLine(logger, {
    ...line,
    requestId: random,
    userId: 'anna@example.com',
    address: 'Bearer abc123',
    userAgent: `curl/8 (+mailto:anna@example.com) ${random} ${'x '.repeat(300)}`,
  })
  const { requestId, userId, address, userAgent } = records()[0] ?? {}
  assert.equal(requestId, random)
  assert.equal(userId, 'a***@e***.com')
  assert.equal(address, 'Bearer [redacted]')
  assert.match(String(userAgent), /^curl\/8 \(\+mailto:a\*\*\*@e\*\*\*\.com\) \[redacted\] x .*…$/)
  assert.ok(String(userAgent).length <= 257)
})

test('a hostile user agent or id is judged in linear time', async () => {
  const { logger, lines } = await captureLog()
  for (const seed of ['a', '1', 'a1', '1.', 'Mozilla/5.0 (', 'a ', '-', '/', '/a', '%41', 'a=']) {
    const text = `${seed.repeat(16_000 / seed.length)}\u0000`
    requestLine(logger, {
      ...line,
      url: `/${text}?${text}`,
      requestId: text,
      userId: text,
      userAgent: text,
      address: text,
    })
    requestLine(logger, { ...line, userAgent: `${seed.repeat(Math.floor(250 / seed.length))}!` })
  }
  assert.equal(lines().length, 22)
})
