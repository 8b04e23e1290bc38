import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { Type } from 'typebox'
import { AppError } from '../errors.ts'
import { defineFeature } from '../feature.ts'
import { createTestApp, type TestApp, type TestReply } from '../testing/index.ts'
import { publicAccess, userAccess } from './access.ts'
import { jsonLimits, parseJson } from './strict-json.ts'
import { standInUsers } from './testing/stand-in-users.ts'

const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
const members = (count: number) =>
  `{${Array.from({ length: count }, (_, index) => `"k${index}":0`).join(',')}}`

describe('the JSON parser', () => {
  const refused: readonly [string, string | Buffer, string][] = [
    ['an empty body', '', 'malformed_json'],
    ['white space', '  ', 'malformed_json'],
    ['half an object', '{"a":', 'malformed_json'],
    ['two values', '{} {}', 'malformed_json'],
    ['a trailing comma', '{"a":1,}', 'malformed_json'],
    ['a comment', '{"a":1}//', 'malformed_json'],
    ['single quotes', "{'a':1}", 'malformed_json'],
    ['NaN', '{"a":NaN}', 'malformed_json'],
    ['a byte order mark', '\ufeff{"a":1}', 'malformed_json'],
    ['UTF-16', Buffer.from('{"a":1}', 'utf16le'), 'malformed_json'],
    ['invalid UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'malformed_json'],
    ['an overlong encoding', Buffer.from([0x22, 0xc0, 0xaf, 0x22]), 'malformed_json'],
    ['a surrogate encoded as UTF-8', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), 'malformed_json'],
    ['a raw NUL', '{"a":"\0"}', 'malformed_json'],
    ['unbalanced brackets', ']]]]', 'malformed_json'],
    ['an unfinished string full of brackets', `"${'['.repeat(100)}`, 'malformed_json'],
    ['an unfinished escape', '"\\', 'malformed_json'],
    ['depth 33', nested(33), 'invalid_request'],
    ['depth 33 of objects', '{"a":'.repeat(33) + '1' + '}'.repeat(33), 'invalid_request'],
    ['depth 33 that never closes', '['.repeat(33), 'invalid_request'],
    ['50,000 nested lists', nested(50_000), 'invalid_request'],
    ['50,000 nested objects', '{"a":'.repeat(50_000) + '1' + '}'.repeat(50_000), 'invalid_request'],
    ['10,001 members', members(10_001), 'invalid_request'],
    ['60,000 members', members(60_000), 'invalid_request'],
    [
      '10,001 members spread over objects',
      `[${Array.from({ length: 10_001 }, () => '{"a":0}').join(',')}]`,
      'invalid_request',
    ],
    ['an infinite number', '{"a":1e999999}', 'invalid_request'],
    ['a negative infinite number', '[-1e400]', 'invalid_request'],
    ['an escaped NUL', '{"a":"x\\u0000y"}', 'invalid_request'],
    ['an escaped NUL in a name', '{"x\\u0000y":1}', 'invalid_request'],
    ['a lone high surrogate', '{"a":"\\ud800"}', 'invalid_request'],
    ['a lone low surrogate', '["\\udc00"]', 'invalid_request'],
    ['surrogates in the wrong order', '["\\udc00\\ud800"]', 'invalid_request'],
    ['a lone surrogate in a name', '{"\\ud800":1}', 'invalid_request'],
    ['__proto__', '{"__proto__":{"polluted":1}}', 'invalid_request'],
    ['__proto__ in escapes', '{"\\u005f_proto__":{"polluted":1}}', 'invalid_request'],
    ['constructor', '{"constructor":{"prototype":{"polluted":1}}}', 'invalid_request'],
    ['prototype', '{"a":[{"prototype":{"polluted":1}}]}', 'invalid_request'],
    ['__proto__ below', '{"a":{"b":[{"__proto__":null}]}}', 'invalid_request'],
  ]
  for (const [name, text, code] of refused)
    test(`${name} is refused as ${code}`, () => {
      assert.throws(
        () => parseJson(Buffer.from(text)),
        (error) => error instanceof AppError && error.code === code && error.status === 400,
      )
    })

  const accepted: readonly [string, string][] = [
    ['depth 32', nested(jsonLimits.depthMax)],
    ['10,000 members', members(jsonLimits.keysMax)],
    ['brackets inside strings', JSON.stringify('['.repeat(100))],
    ['escaped quotes before brackets', JSON.stringify(`\\"${'{'.repeat(100)}`)],
    ['many siblings', `[${'[],'.repeat(1000)}[]]`],
    ['a paired surrogate', '"\\ud83d\\ude00"'],
    ['other spellings of names', '{"__proto":1,"Constructor":2,"proto":3}'],
    ['a dangerous name as a value', '["__proto__"]'],
    ['the largest double', '1.7976931348623157e308'],
    ['white space around', ' \n\t{ "a" : 1 }\r\n'],
  ]
  for (const [name, text] of accepted)
    test(`${name} is parsed as JSON.parse would`, () => {
      assert.deepEqual(parseJson(Buffer.from(text)), JSON.parse(text))
    })

  for (const text of ['null', 'true', '0', '""', '[]', '{}'])
    test(`the value ${text} is parsed`, () => {
      assert.deepEqual(parseJson(Buffer.from(text)), JSON.parse(text))
    })
})

let handled = 0

const Thing = Type.Object(
  {
    text: Type.String({ minLength: 1 }),
    count: Type.Integer({ minimum: 1 }),
    on: Type.Boolean(),
    list: Type.Array(Type.String(), { minItems: 1 }),
    inner: Type.Object({ id: Type.String() }, { additionalProperties: false }),
  },
  { additionalProperties: false },
)
const thing = { text: 'x', count: 1, on: true, list: ['x'], inner: { id: 'x' } }

const things = defineFeature({
  name: 'things',
  setup: ({ sql }) => ({
    routes(app) {
      const config = { access: publicAccess() }
      const response = { 200: Type.Object({ ok: Type.Boolean() }) }
      app.post('/public/things', { config, schema: { body: Thing, response } }, async () => {
        handled++
        return { ok: true }
      })
      const querystring = Type.Object(
        { q: Type.Optional(Type.String()), n: Type.Optional(Type.Integer()) },
        { additionalProperties: false },
      )
      const Echo = Type.Object({ q: Type.String() })
      app.get(
        '/public/echo',
        { config, schema: { querystring, response: { 200: Echo } } },
        async (request) => {
          handled++
          const [row] = await sql<{ q: string }[]>`select ${request.query.q ?? ''}::text as q`
          return { q: row?.q ?? '' }
        },
      )
      const Text = Type.Object({ text: Type.String() }, { additionalProperties: false })
      app.post(
        '/public/echo',
        { config, schema: { body: Text, response: { 200: Text } } },
        async (request) => {
          handled++
          const [row] = await sql<{ text: string }[]>`select ${request.body.text}::text as text`
          return { text: row?.text ?? '' }
        },
      )
      app.get('/public/closed', { config, schema: { response } }, async () => ({ ok: true }))
      app.get(
        '/auth/closed',
        { config: { access: userAccess() }, schema: { response } },
        async () => ({ ok: true }),
      )
    },
  }),
})

describe('bodies and queries over HTTP', () => {
  let app: TestApp
  before(async () => {
    app = await createTestApp([standInUsers, things])
  })
  after(async () => app.close())
  beforeEach(() => {
    handled = 0
  })

  const send = (payload: string | Buffer, headers: Record<string, string>): Promise<TestReply> =>
    app.app.http.inject({ method: 'POST', url: '/public/things', payload, headers })

  const json = [
    'application/json',
    'Application/JSON',
    'application/json;charset=utf-8',
    'application/json; charset=UTF-8',
    'application/json ; charset="utf-8"',
    'application/json; charset=utf-8 ',
  ]
  for (const type of json)
    test(`content type ${JSON.stringify(type)} is read and validated`, async () => {
      assert.equal((await send(JSON.stringify(thing), { 'content-type': type })).statusCode, 200)
      assert.equal((await send('{"text":1}', { 'content-type': type })).statusCode, 400)
      assert.equal(handled, 1)
    })

  const others = [
    'application/json\ta',
    'application/json a',
    'application/json/x',
    'application/json;charset=latin1',
    'application/json;charset=utf-16',
    'application/json;charset=utf-8;charset=latin1',
    'application/json; x=1',
    'application/json;',
    'application/json,text/plain',
    'application/jsonx',
    'application/json+xml',
    'xapplication/json',
    'application/ json',
    'application /json',
    'application/vnd.api+json',
    'application/problem+json',
    'text/json',
    'text/plain',
    'text/plain; application/json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'multipart/form-data',
    'application/octet-stream',
    '*/*',
    'json',
    '/',
    ';',
    'application/',
    'null',
    '__proto__',
    'constructor',
  ]
  for (const type of others)
    test(`content type ${JSON.stringify(type)} is refused with 415, whatever the body is`, async () => {
      for (const payload of [JSON.stringify(thing), '{"text":1}', 'text=x&__proto__[polluted]=1']) {
        const reply = await send(payload, { 'content-type': type })
        assert.equal(reply.statusCode, 415)
        assert.equal(reply.json<{ code: string }>().code, 'unsupported_media_type')
      }
      assert.equal(handled, 0)
    })

  test('a body without a content type is refused with 415', async () => {
    for (const headers of [{}, { 'content-type': '' }]) {
      const reply = await send(Buffer.from(JSON.stringify(thing)), headers)
      assert.equal(reply.statusCode, 415)
    }
    assert.equal(handled, 0)
  })

  // Row 30 of the peers' failures: `expiresAt: null` passed a truthiness check elsewhere.
  for (const field of Object.keys(thing))
    for (const value of [null, 0, '', false, [], {}])
      test(`the body's ${field} as ${JSON.stringify(value)} is accepted only where that is its type`, async () => {
        const reply = await app.anybody.post('/public/things', { ...thing, [field]: value })
        const fits = field === 'on' && value === false
        assert.equal(reply.statusCode, fits ? 200 : 400)
        assert.equal(handled, fits ? 1 : 0)
      })

  for (const [name, change] of [
    ['a number as text', { count: '1' }],
    ['text as a number', { text: 1 }],
    ['a boolean as text', { on: 'true' }],
    ['one value for a list', { list: 'x' }],
    ['a list for one value', { text: ['x'] }],
    ['a fraction for a whole number', { count: 1.5 }],
    ['an unknown member', { userId: 'x' }],
    ['an unknown inner member', { inner: { id: 'x', role: 'admin' } }],
  ] as const)
    test(`${name} is refused, never converted or dropped`, async () => {
      assert.equal(
        (await app.anybody.post('/public/things', { ...thing, ...change })).statusCode,
        400,
      )
      assert.equal(handled, 0)
    })

  const queries = [
    'q=a&q=b',
    'n=1&n=2',
    'x=1',
    'q=a&x=1',
    'q[]=a',
    'q[a]=b',
    '__proto__=1',
    '__proto__[polluted]=1',
    'constructor=1',
    'constructor[prototype][polluted]=1',
    'prototype=1',
    'n=x',
    'n=',
    'n=1.5',
    'n=1e999',
    'n=-1e999',
    'n=Infinity',
    'n=-Infinity',
    'n=NaN',
    'q=%00',
    'q=%ff',
    '%71=a&q=b',
    'Q=a',
  ]
  for (const query of queries)
    test(`the query ${query} is refused`, async () => {
      assert.equal((await app.anybody.get(`/public/echo?${query}`)).statusCode, 400)
      assert.equal(handled, 0)
    })

  test('a route that declares no query takes none', async () => {
    for (const [client, path] of [
      [app.anybody, '/public/closed'],
      [app.as('ada'), '/auth/closed'],
    ] as const) {
      assert.equal((await client.get(path)).statusCode, 200)
      assert.equal((await client.get(`${path}?`)).statusCode, 200)
      for (const query of ['x=1', '__proto__=1', 'userId=1'])
        assert.equal((await client.get(`${path}?${query}`)).statusCode, 400)
    }
  })

  const texts = [
    '',
    'plain',
    'é',
    'e\u0301',
    '\u202eevil',
    '👩‍👩‍👧‍👦',
    '\u{10ffff}',
    '\ufeffx',
    '\u2028',
    'Ω'.repeat(500),
    `Z${'\u0301'.repeat(500)}`,
    "'; drop table x; --",
    '\\u0000',
    '${7*7}',
    '\u0001\u001f\u007f',
  ]
  for (const text of texts)
    test(`the text ${JSON.stringify(text.slice(0, 20))} comes back as it was sent`, async () => {
      const posted = await app.anybody.post('/public/echo', { text })
      assert.deepEqual([posted.statusCode, posted.json()], [200, { text }])
      const got = await app.anybody.get(`/public/echo?q=${encodeURIComponent(text)}`)
      assert.deepEqual([got.statusCode, got.json()], [200, { q: text }])
    })

  test('after 1,000 mixed requests no prototype is polluted and every one was answered below 500', async () => {
    const bodies = [
      '{"__proto__":{"polluted":1}}',
      '{"constructor":{"prototype":{"polluted":1}}}',
      '{"text":"x","inner":{"__proto__":{"polluted":1}}}',
      '[{"__proto__":{"polluted":1}}]',
      '__proto__[polluted]=1&constructor[prototype][polluted]=1',
    ]
    const types = [
      'application/json',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'text/plain',
      '__proto__',
    ]
    const urls = [
      '/public/things',
      '/public/things?__proto__[polluted]=1',
      '/public/__proto__',
      '/public/constructor?prototype=1',
      '/auth/closed?__proto__.polluted=1',
    ]
    for (let round = 0; round < 1000; round++) {
      const reply = await app.app.http.inject({
        method: round % 3 === 0 ? 'GET' : 'POST',
        url: urls[round % 5] ?? '/',
        headers: { 'content-type': types[Math.floor(round / 5) % 5] ?? '' },
        payload: bodies[Math.floor(round / 25) % 5] ?? '',
      })
      assert.ok(reply.statusCode >= 400 && reply.statusCode < 500, `${round}: ${reply.statusCode}`)
    }
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined)
    assert.equal(([] as unknown as Record<string, unknown>)['polluted'], undefined)
    assert.equal(handled, 0)
  })
})
