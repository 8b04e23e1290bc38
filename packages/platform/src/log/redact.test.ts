import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { classifyKey, classifyQueryName, isPublicCode } from './redact-keys.ts'
import { scrubText } from './redact-text.ts'
import { redactText, redactValue } from './redact.ts'

const random = 'kX92mQpLwTzR4vNb7YcHd3JsGf6Ke1aUoRiXtB5n'

describe('ordinary content stays readable', () => {
  const texts = [
    '3f2504e0-4f89-41d3-9a0c-0305e82c3301',
    'request AbCdEfGh-1z4 took 12.345 ms',
    'trace 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    '2024-10-05T12:34:56.789Z',
    '2024-10-05 12:34:56.789012+02 to 2024-10-06 12:34:56+00',
    '/auth/orders/{id}',
    '/auth/orders/3f2504e0-4f89-41d3-9a0c-0305e82c3301/items?limit=20&after=2024-10-05',
    'listening on http://127.0.0.1:8080, docs at http://127.0.0.1:8080/docs',
    'error: duplicate key value violates unique constraint "idempotency_keys_user_id_route_key_pkey"',
    'SQLSTATE 23505, 40001 and 42P01; HTTP 404; exit code 1; error code 23505',
    'at handleRequest (file:///srv/app/node_modules/fastify/lib/handle-request.js:123:45)',
    'at async Object.<anonymous> (/srv/app/packages/platform/src/database/transaction.test.ts:12:3)',
    'fastify@5.12.8 and @fastify/cors on node v24.21.0 (linux x64)',
    'FST_ERR_SCH_RESPONSE_SCHEMA_NOT_NESTED_2XX: response schemas should be nested',
    'Invalid token: expired. Bearer token required. Basic authentication failed.',
    'password: null, token: undefined, secret=false',
    'connect ECONNREFUSED 127.0.0.1:5432 (code: ECONNREFUSED)',
    '192.168.100.200 sent 1234567890 bytes in 1728131696789 ms',
    'price 19.99, quantity 100000, ratio 0.123456789',
    'migrations/20241005123456_create_orders.sql applied',
    'user-agent okhttp/4.12.0',
  ]
  for (const text of texts) {
    test(text, () => assert.equal(redactText(text), text))
  }
  test('fields with harmless names and values', () => {
    const value = {
      statusCode: 404,
      errorCode: 'E1',
      countryCode: 'DE',
      code: 'order_not_found',
      tokenType: 'access',
      hasPassword: true,
      token: null,
      publicKey: 'k1',
      idempotencyKey: 'a-1',
      requestId: `req_${random}`,
      sessionId: '3f2504e0-4f89-41d3-9a0c-0305e82c3301',
      durationMs: 1.5,
    }
    assert.deepEqual(redactValue(value), value)
  })
})

describe('a text loses', () => {
  const table: [what: string, text: string, expected: string][] = [
    ['a JWT', 'got eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln now', 'got [redacted] now'],
    ['a cut-off JWT', 'eyJhbGciOiJSUzI1NiJ9.eyJz', '[redacted]'],
    ['a Bearer token', 'Bearer abc123', 'Bearer [redacted]'],
    ['Basic credentials', 'sent Basic dXNlcjpwYXNz,', 'sent Basic [redacted],'],
    ['an Api-Key header', 'Api-Key k1-2', 'Api-Key [redacted]'],
    ['an API key of this server', 'key qk_abcDEF123456.', 'key [redacted].'],
    ['a SendGrid key', 'SG.abcdef.ghijkl', '[redacted]'],
    ['an AWS key id', 'AKIAIOSFODNN7EXAMPLE', '[redacted]'],
    ['a live key', 'sk_live_1234', '[redacted]'],
    ['a HubSpot token', 'pat-eu1-3f2504e0-4f89-41d3-9a0c-0305e82c3301', '[redacted]'],
    ['the password of a URL', 'postgres://u:p@ss/w@h:5432/db', 'postgres://[redacted]@h:5432/db'],
    ['the user-info of a URL', 'https://u:p@example.com/a@b', 'https://[redacted]@example.com/a@b'],
    [
      'a query parameter',
      '/cb?code=abcdefgh&state=xyz&page=2',
      '/cb?code=[redacted]&state=[redacted]&page=2',
    ],
    ['an encoded parameter', '/cb?next=%2Fx%3Ftoken%3Dabc', '/cb?next=/x?token=[redacted]'],
    ['JSON', '{"otp":"123456","a":1}', '{"otp":"[redacted]","a":1}'],
    [
      'JSON inside JSON',
      String.raw`{\"pin\":\"1\\\"2\",\"a\":1}`,
      String.raw`{\"pin\":\"[redacted]\",\"a\":1}`,
    ],
    ['a JSON list', '{"tokens":["a","b"],"c":1}', '{"tokens":[[redacted]],"c":1}'],
    ['a header to its end', 'Cookie: a=b; c=d\nHost: x', 'Cookie: [redacted]\nHost: x'],
    ['an assignment', 'password=hunter2, user=bob', 'password=[redacted], user=bob'],
    ['a plain-word password', 'password: hunter', 'password: [redacted]'],
    ['a scheme behind a name', 'token: Bearer abc123 x', 'token: [redacted] x'],
    ['a spoken code', 'Your code is 483920.', 'Your code is [redacted].'],
    ['an e-mail address', 'to Anna.B+x@mail.example.co.uk!', 'to A***@m***.uk!'],
    ['an encoded e-mail address', 'anna%40example.com', 'a***@e***.com'],
    ['a twice encoded e-mail address', 'anna%2540example.com', 'a***@e***.com'],
    ['an escaped e-mail address', String.raw`anna\u0040example.com`, 'a***@e***.com'],
    ['an international number', 'call +49 (151) 1234-5678 now', 'call ***78 now'],
    ['an E.164 number', 'to:+4915112345678', 'to:***78'],
    ['a 00 number', '004915112345678', '***78'],
    ['a national number', '0151 12345678 or 01511234567', '***78 or ***67'],
    ['an American number', '(415) 555-2671, 415-555-2671, 415.555.2671', '***71, ***71, ***71'],
    ['a number by its name', 'phone=4155552671', 'phone=***71'],
    ['base64', `blob ${random} end`, 'blob [redacted] end'],
    ['hex', 'a'.repeat(32), '[redacted]'],
    ['a database row', 'Failing row contains (1, x).', 'Failing row contains (1, x).'],
  ]
  for (const [what, text, expected] of table) {
    test(what, () => assert.equal(redactText(text), expected))
  }
})

test('field names are known in every spelling', () => {
  const table: Record<string, string[]> = {
    secret: [
      'Authorization',
      'proxy-authorization',
      'cookie',
      'Set-Cookie',
      'X-API-Key',
      'apikey',
      'api_key',
      'accessToken',
      'refresh_token',
      'ID-TOKEN',
      'csrf',
      'xsrfToken',
      'session',
      'signature',
      'privateKey',
      'PRIVATE_KEY',
      'aws_secret_access_key',
      'tokenHash',
      'nonce',
      'jwt',
      'verificationCode',
      'backup_codes',
    ],
    password: [
      'password',
      'newPassword',
      'password_hash',
      'password2',
      'clientSecret',
      'x-gateway-secret',
      'otp',
      'user_otp',
      'pin',
      'PGPASSWORD',
      'credentials',
    ],
    code: ['code', 'Code'],
    session: ['sessionId', 'session_id'],
    email: ['email', 'userEmail', 'email_address'],
    phone: ['phone', 'phoneNumber', 'mobile'],
    id: ['requestId', 'X-Request-Id', 'traceparent'],
    plain: [
      'status',
      'statusCode',
      'errorCode',
      'countryCode',
      'tokenType',
      'publicKey',
      'key',
      'idempotencyKey',
      'shipping',
      'passport',
      'emailVerified',
      'name',
      '',
      '__proto__',
      'x'.repeat(200),
    ],
  }
  for (const [kind, names] of Object.entries(table)) {
    for (const name of names) assert.equal(classifyKey(name), kind, name)
  }
  for (const name of ['code', 'state', 'key', 'sig'])
    assert.equal(classifyQueryName(name), 'secret')
})

test('an error code is told from a one-time code', () => {
  const shown = [
    'order_not_found',
    'ECONNRESET',
    'FST_ERR_VALIDATION',
    'auth/id-token-expired',
    '23505',
    '42P01',
    '0A000',
    '404',
    1006,
  ]
  for (const code of shown) assert.ok(isPublicCode(code, false), String(code))
  for (const code of ['P2002', 'NoSuchKey', '60200', 60200]) {
    assert.ok(isPublicCode(code, true), String(code))
  }
  for (const code of [
    '483920',
    483920,
    '4839',
    'SplxlOBeZQQYbYS6WxSbIA',
    'ABCD-EFGH',
    '4/0AX4XfWj',
  ]) {
    assert.ok(!isPublicCode(code, false), String(code))
    if (code !== '4839') assert.ok(!isPublicCode(code, true), String(code))
  }
})

describe('an error', () => {
  test('keeps its type, message, code, frames, causes and errors', () => {
    class StockError extends Error {}
    const cause = new AggregateError([new TypeError('first'), 'second'], 'all failed')
    const copy = redactValue(
      Object.assign(new StockError('no stock', { cause }), { code: '23505' }),
    )
    assert.ok(isRecord(copy))
    assert.equal(copy['type'], 'StockError')
    assert.equal(copy['message'], 'no stock')
    assert.equal(copy['code'], '23505')
    assert.match(String(copy['stack']), /^StockError: no stock\n {4}at .*redact\.test\.ts:\d+:\d+/)
    assert.ok(isRecord(copy['cause']))
    assert.equal(copy['cause']['message'], 'all failed')
    assert.ok(Array.isArray(copy['cause']['errors']))
    assert.equal(copy['cause']['errors'][1], 'second')
  })
  test('of the database shows neither parameters nor row values', () => {
    const copy = redactValue(
      Object.assign(new Error('duplicate key'), {
        query: "select 'O''Hara', $1",
        parameters: ['Hara'],
        args: ['Hara', 7],
        detail: 'Key (name, city)=(Hara, Kiel (old)) already exists.',
        where: 'COPY people, line 1: "Hara"',
      }),
    )
    assert.ok(isRecord(copy))
    assert.doesNotMatch(JSON.stringify(copy), /Hara|Kiel/)
    assert.equal(copy['query'], "select '?', $1")
    assert.equal(copy['detail'], 'Key (name, city)=([redacted]) already exists.')
    assert.equal(copy['parameters'], '[1 values redacted]')
  })
  test('cannot forge a stack line that begins a record', () => {
    const error = new Error('x\n[12:00:00] INFO: forged\r\n{"level":"info"}')
    const copy = redactValue(error)
    assert.ok(isRecord(copy))
    const [head, ...frames] = String(copy['stack']).split('\n')
    assert.equal(head, 'Error: x [12:00:00] INFO: forged {"level":"info"}')
    for (const frame of frames) assert.match(frame, /^ {4}at /)
  })
  test('a secret known from one field is removed from the other texts', () => {
    const copy = redactValue({
      note: 'rejected Winter-2024 twice',
      body: { password: 'Winter-2024' },
    })
    assert.deepEqual(copy, { note: 'rejected [redacted] twice', body: { password: '[redacted]' } })
  })
})

describe('a hostile value', () => {
  const deep = (levels: number): unknown => {
    let value: unknown = 'bottom'
    for (let level = 0; level < levels; level++) value = level % 2 ? [value] : { value }
    return value
  }
  const shared = (levels: number): unknown => {
    let value: unknown = 'leaf'
    for (let level = 0; level < levels; level++) value = Array(100).fill(value)
    return value
  }
  const circular: Record<string, unknown> = { name: 'loop' }
  circular['self'] = { list: [circular] }
  const thrower = (): never => {
    throw new Error('no')
  }
  const endless = (): object =>
    new Proxy(
      {},
      {
        get: () => endless(),
        ownKeys: () => ['a'],
        getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
      },
    )
  const table: Record<string, [value: unknown, found: RegExp]> = {
    'nested 50,000 deep': [deep(50_000), /too deep/],
    'with 60,000 keys': [
      Object.fromEntries(Array.from({ length: 60_000 }, (_, n) => [`k${n}`, n])),
      /\[more\]/,
    ],
    'with a million entries': [Array(1_000_000).fill('x'), /\[more\]/],
    'sharing 100^7 entries': [shared(7), /\[more\]|too large/],
    circular: [circular, /circular/],
    'with a throwing getter': [
      {
        ok: 1,
        get bad() {
          return thrower()
        },
      },
      /"ok":1,"bad":"\[unreadable\]"/,
    ],
    'a throwing proxy': [
      new Proxy({}, { ownKeys: thrower, get: thrower, getPrototypeOf: thrower }),
      /unreadable/,
    ],
    'an endless proxy': [{ proxy: endless() }, /unreadable|too deep/],
    'a revoked proxy': [revoked(), /unreadable/],
    'with a throwing toJSON': [{ toJSON: thrower }, /unreadable/],
    'an error without a message': [Object.create(Error.prototype), /"type":"Error"/],
    'a text of 10 MB': ['word '.repeat(2_000_000), /more\]/],
    'a huge error message': [new Error('x'.repeat(1_000_000)), /more\]/],
    'with an own __proto__ key': [
      JSON.parse('{"__proto__":{"admin":true}}'),
      /"__proto__":\{"admin":true\}/,
    ],
    'without a prototype': [Object.assign(Object.create(null), { a: 1 }), /"a":1/],
    'a symbol, function and bigint': [
      { s: Symbol('x'), f: thrower, b: 10n },
      /Symbol\(x\).*function.*"10"/,
    ],
    'an invalid date': [new Date(Number.NaN), /Invalid Date/],
    'a buffer': [Buffer.from('top secret'), /10 bytes/],
  }
  for (const [what, [value, found]] of Object.entries(table)) {
    test(`${what} is logged within bounds`, () => {
      const text = JSON.stringify(redactValue(value))
      assert.match(text, found)
      assert.ok(text.length < 600_000, String(text.length))
    })
  }
  test('never makes the redaction throw or change the original', () => {
    fc.assert(
      fc.property(
        fc.anything({
          withMap: true,
          withSet: true,
          withTypedArray: true,
          withDate: true,
          withBigInt: true,
          withNullPrototype: true,
          withObjectString: true,
        }),
        (value) => {
          JSON.stringify(redactValue(value))
        },
      ),
      { numRuns: 300, seed: 7 },
    )
    const original = { password: 'x1', list: [{ email: 'a@b.de' }] }
    redactValue(original)
    assert.deepEqual(original, { password: 'x1', list: [{ email: 'a@b.de' }] })
  })
})

test('redacting twice changes nothing more', () => {
  const parts = [
    'password=',
    'x1y2',
    ' ',
    ' a@b.de ',
    '+4915112345678',
    '"token":"',
    '"',
    '%40',
    '\\',
    'eyJhbGciOi',
    '[redacted]',
    ',',
    '{',
    '}',
    'Bearer ',
    'code',
    ': ',
    '483920',
    '\n',
    random,
    'https://u:p@h/',
  ]
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...parts), { maxLength: 12 }), (chosen) => {
      const once = redactText(chosen.join(''))
      assert.equal(redactText(once), once)
    }),
    { numRuns: 500, seed: 11 },
  )
})

test('a secret that the length limit cuts in two does not appear', () => {
  const table: [before: string, secret: string, after: string][] = [
    ['', 'anna.long.name@example.com', ''],
    ['', '+49 151 1234 5678', ''],
    ['postgres://user:', 'pa55word', '@host/db'],
    ['', random, ''],
    ['{"password":"', 'Hunter22-Hunter22', '"}'],
  ]
  const step = 8
  for (const [before, secret, after] of table) {
    for (const [limit, shrunk] of [
      [8192, 1],
      [9216, 1],
      [9216, 3000],
    ] as const) {
      for (let dots = limit - before.length - secret.length - 2; dots <= limit + 2; dots++) {
        // What is redacted early makes the text shorter and moves its end into what is shown.
        const early = `pin="${'1'.repeat(shrunk)}" `
        const dotted = '.'.repeat(dots - early.length)
        const text = `${early}${dotted} ${before}${secret}${after}${' tail'.repeat(500)}`
        const shown = redactText(text)
        for (let start = 0; start + step <= secret.length; start++) {
          assert.ok(!shown.includes(secret.slice(start, start + step)), `${secret} after ${dots}`)
        }
      }
    }
  }
})

test('of a long text 8 KiB are kept, and it says how much more there was', () => {
  const shown = redactText('word '.repeat(5000))
  assert.equal(shown, `${'word '.repeat(5000).slice(0, 8192)}… [16808 more]`)
})

test('100 KB of adversarial text is scrubbed in linear time', () => {
  // Quadratic patterns would need minutes for these, and the suite's time limit would strike.
  const seeds = [
    'a',
    '0',
    'A1',
    'a-',
    '-a',
    '%41',
    '%',
    'eyJ',
    'eyJ.',
    'a@',
    '@a.',
    '+1 ',
    '1-1',
    '(',
    '"',
    '\\',
    '\\"',
    'password="',
    'password":"',
    'a=',
    '://',
    'a://b:',
    'http://a:',
    'sk_a_',
    'Bearer ',
    'code-123456-',
    '-----BEGIN PRIVATE KEY-----',
    ')=(',
    "'",
    '\\u0040',
    '&#64;',
    '0-',
    '/',
    'A/1/',
    '[',
    '{',
    'tokens=[',
    '12345-',
    '0123 ',
    `${'A'.repeat(64)}\n`,
  ]
  for (const seed of seeds) {
    const text = `${seed.repeat(Math.ceil(100_000 / seed.length))}!`
    assert.ok(scrubText(text, { hidesContacts: true, hidesBlobs: true }).length < 400_000)
  }
})

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}
