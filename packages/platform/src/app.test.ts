import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import { defineFeature } from './feature.ts'
import { publicAccess, userAccess } from './http/access.ts'
import { sendConditional } from './http/preconditions.ts'
import { listen, sendRaw } from './http/testing/raw-http.ts'
import { standInUsers } from './http/testing/stand-in-users.ts'
import { createTestApp, type TestApp, type TestReply } from './testing/index.ts'

let heads = 0

const shop = defineFeature({
  name: 'shop',
  setup: () => ({
    routes(app) {
      const Item = Type.Object({
        id: Type.String(),
        tags: Type.Array(Type.Object({ name: Type.String() })),
      })
      const Reply = Type.Object({ item: Item })
      const full = {
        item: { id: '1', secret: 'canary', tags: [{ name: 'a', owner: 'canary' }] },
        debug: 'canary',
      }
      const config = { access: userAccess() }
      app.get('/auth/item', { config, schema: { response: { 200: Reply } } }, async () => {
        heads++
        return full
      })
      app.get(
        '/auth/kept',
        { config, schema: { response: { 200: Reply } } },
        async (request, reply) => sendConditional(request, reply, full),
      )
      const body = Type.Object({ id: Type.String() })
      app.post(
        '/auth/item',
        { config, schema: { body, response: { 201: Reply } } },
        async (_request, reply) => {
          reply.status(201)
          return full
        },
      )
      app.delete(
        '/auth/item',
        { config, schema: { response: { 204: Type.Null() } } },
        async (_request, reply) => {
          reply.status(204)
        },
      )
      app.get(
        '/public/crash',
        { config: { access: publicAccess() }, schema: { response: { 200: Reply } } },
        async () => {
          throw new Error('crash')
        },
      )
    },
  }),
})

const send = (
  app: TestApp,
  method: string,
  url: string,
  headers: Record<string, string> = {},
): Promise<TestReply> => app.app.http.inject({ method: method as 'GET', url, headers })

describe('every answer', () => {
  let app: TestApp
  let proof: Record<string, string>
  before(async () => {
    app = await createTestApp([standInUsers, shop], {
      http: { clientOrigins: ['https://app.test'] },
    })
    proof = await app.as('ada').headers()
  })
  after(async () => app.close())

  const kinds: readonly [string, number, () => Promise<TestReply>][] = [
    ['a success', 200, () => send(app, 'GET', '/auth/item', proof)],
    ['a creation', 201, () => app.as('ada').post('/auth/item', { id: '1' })],
    ['a deletion', 204, () => send(app, 'DELETE', '/auth/item', proof)],
    ['a public answer', 200, () => send(app, 'GET', '/health/live')],
    ['the description', 200, () => send(app, 'GET', '/openapi.json')],
    ['the reference', 200, () => send(app, 'GET', '/docs')],
    ['not modified', 304, () => send(app, 'GET', '/auth/kept', { ...proof, 'if-none-match': '*' })],
    ['a bad escape', 400, () => send(app, 'GET', '/%zz')],
    ['no proof', 401, () => send(app, 'GET', '/auth/item')],
    ['nothing there', 404, () => send(app, 'GET', '/nothing')],
    ['a wrong method', 405, () => send(app, 'PUT', '/auth/item', proof)],
    [
      'a wrong type',
      415,
      () =>
        send(app, 'POST', '/auth/item', {
          ...proof,
          'content-type': 'text/plain',
          'content-length': '1',
        }),
    ],
    ['a fault', 500, () => send(app, 'GET', '/public/crash')],
    ['HEAD', 200, () => send(app, 'HEAD', '/auth/item', proof)],
    [
      'a preflight',
      204,
      () =>
        send(app, 'OPTIONS', '/auth/item', {
          origin: 'https://app.test',
          'access-control-request-method': 'GET',
        }),
    ],
  ]
  for (const [name, status, get] of kinds)
    test(`carries the security headers and a request id: ${name}`, async () => {
      const { statusCode, headers } = await get()
      assert.equal(statusCode, status)
      assert.equal(headers['x-content-type-options'], 'nosniff')
      assert.match(
        String(headers['content-security-policy']),
        /default-src '(?:none|self)'.*frame-ancestors 'none'/,
      )
      assert.equal(headers['strict-transport-security'], 'max-age=31536000; includeSubDomains')
      assert.match(String(headers['x-request-id']), /^[\w-]+$/)
      assert.equal(headers['server'], undefined)
      assert.equal(headers['x-powered-by'], undefined)
      assert.match(String(headers['cache-control']), /no-store|no-cache/)
    })

  test('is kept by no cache unless it has an ETag, and then by no shared one', async () => {
    const cacheControl = async (url: string, headers = {}) =>
      (await send(app, 'GET', url, headers)).headers['cache-control']
    assert.equal(await cacheControl('/auth/item', proof), 'private, no-store')
    assert.equal(await cacheControl('/auth/kept', proof), 'private, no-cache')
    assert.equal(await cacheControl('/auth/kept'), 'no-store')
    assert.equal(await cacheControl('/nothing'), 'no-store')
  })

  test('holds only what the schema of the reply names, at every depth', async () => {
    for (const reply of [
      await send(app, 'GET', '/auth/item', proof),
      await send(app, 'GET', '/auth/kept', proof),
      await app.as('ada').post('/auth/item', { id: '1' }),
      await app.as('ada').post('/auth/item', { id: '1' }, { 'idempotency-key': 'k' }),
    ])
      assert.equal(reply.body, '{"item":{"id":"1","tags":[{"name":"a"}]}}')
  })

  test('says its type with its charset', async () => {
    assert.equal(
      (await send(app, 'GET', '/auth/item', proof)).headers['content-type'],
      'application/json; charset=utf-8',
    )
  })

  test('to HEAD is that to GET without its body', async () => {
    for (const [url, headers] of [
      ['/auth/item', proof],
      ['/auth/kept', proof],
      ['/auth/item', {}],
      ['/nothing', {}],
      ['/health/live', {}],
    ] as const) {
      heads = 0
      const [get, head] = [
        await send(app, 'GET', url, headers),
        await send(app, 'HEAD', url, headers),
      ]
      assert.equal(head.statusCode, get.statusCode)
      assert.equal(head.body, '')
      for (const name of [
        'content-type',
        'etag',
        'cache-control',
        'www-authenticate',
        'x-content-type-options',
      ])
        assert.equal(head.headers[name], get.headers[name], `${url} ${name}`)
    }
  })
})

describe('browsers of other origins', () => {
  let app: TestApp
  before(async () => {
    app = await createTestApp([standInUsers, shop], {
      http: { clientOrigins: ['https://app.test', 'https://admin.test'] },
    })
  })
  after(async () => app.close())

  const preflight = {
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'authorization,idempotency-key',
  }
  const corsHeaders = ({ headers }: TestReply): string[] =>
    Object.keys(headers)
      .filter((name) => name.startsWith('access-control-'))
      .toSorted()

  for (const origin of ['https://app.test', 'https://admin.test']) {
    test(`${origin} may call with credentials and read our headers`, async () => {
      const reply = await app.as('ada').get('/auth/item', { origin })
      assert.equal(reply.headers['access-control-allow-origin'], origin)
      assert.equal(reply.headers['access-control-allow-credentials'], 'true')
      assert.equal(
        reply.headers['access-control-expose-headers'],
        'ETag, Location, X-Request-Id, Retry-After, RateLimit, RateLimit-Policy, Idempotency-Replayed',
      )
      assert.match(String(reply.headers['vary']), /Origin/)
    })

    test(`${origin} can read refusals too`, async () => {
      for (const url of ['/auth/item', '/nothing', '/public/crash']) {
        const reply = await send(app, 'GET', url, { origin })
        assert.ok(reply.statusCode >= 400)
        assert.equal(reply.headers['access-control-allow-origin'], origin)
      }
    })

    test(`${origin} may ask first, without proof`, async () => {
      const reply = await send(app, 'OPTIONS', '/auth/item', { origin, ...preflight })
      assert.equal(reply.statusCode, 204)
      assert.equal(reply.body, '')
      assert.equal(reply.headers['access-control-allow-origin'], origin)
      assert.equal(reply.headers['access-control-allow-credentials'], 'true')
      assert.equal(
        reply.headers['access-control-allow-methods'],
        'GET, HEAD, POST, PUT, PATCH, DELETE',
      )
      assert.equal(reply.headers['access-control-allow-headers'], 'authorization,idempotency-key')
      assert.equal(reply.headers['access-control-max-age'], '600')
      assert.match(String(reply.headers['vary']), /Origin/)
    })
  }

  for (const origin of [
    'https://evil.test',
    'https://app.test.evil.test',
    'https://evil-app.test',
    'http://app.test',
    'https://app.test:444',
    'https://APP.test',
    'https://app.test/',
    'https://sub.app.test',
    'null',
    '*',
    '',
  ])
    test(`${origin || 'an empty origin'} gets nothing, neither when it asks first nor when it calls`, async () => {
      const asked = await send(app, 'OPTIONS', '/auth/item', { origin, ...preflight })
      assert.ok(asked.statusCode >= 400)
      const called = await app.as('ada').get('/auth/item', { origin })
      for (const reply of [asked, called, await send(app, 'GET', '/nothing', { origin })]) {
        assert.deepEqual(corsHeaders(reply), [])
        assert.match(String(reply.headers['vary']), /Origin/)
      }
    })

  test('a call without an origin is no matter of browsers', async () => {
    assert.deepEqual(corsHeaders(await app.as('ada').get('/auth/item')), [])
  })

  test('without a list nobody may', async () => {
    const closed = await createTestApp([standInUsers, shop])
    try {
      const origin = 'https://app.test'
      const asked = await send(closed, 'OPTIONS', '/auth/item', { origin, ...preflight })
      assert.equal(asked.statusCode, 405)
      for (const reply of [asked, await send(closed, 'GET', '/health/live', { origin })])
        assert.deepEqual(corsHeaders(reply), [])
    } finally {
      await closed.close()
    }
  })
})

describe('health over HTTP', () => {
  test('a live server is live, and ready with its parts', async () => {
    const app = await createTestApp([])
    try {
      assert.deepEqual((await app.anybody.get('/health/live')).json(), { status: 'ok' })
      const ready = await app.anybody.get('/health/ready')
      assert.deepEqual(
        [ready.statusCode, ready.json()],
        [200, { status: 'ok', parts: { database: 'ok' } }],
      )
    } finally {
      await app.close()
    }
  })

  test('without its database a server is live but not ready, and does not say why', async () => {
    const app = await createTestApp([])
    try {
      await (app.database.poolSql as Sql).end()
      assert.equal((await app.anybody.get('/health/live')).statusCode, 200)
      const reply = await app.anybody.get('/health/ready')
      assert.equal(reply.statusCode, 503)
      assert.equal(reply.headers['retry-after'], '1')
      assert.deepEqual(reply.json(), { status: 'unavailable', parts: { database: 'unavailable' } })
    } finally {
      await app.close()
    }
  })

  test('a draining server serves on, reports not ready, and asks clients to connect elsewhere', async () => {
    const app = await createTestApp([standInUsers, shop])
    try {
      const port = await listen(app.app.http)
      app.app.drain()
      const get = (path: string) => sendRaw(port, `GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`)
      const [live] = await get('/health/live')
      assert.deepEqual([live?.status, live?.headers['connection']], [200, 'close'])
      const [ready] = await get('/health/ready')
      assert.deepEqual([ready?.status, ready?.headers['connection']], [503, 'close'])
      assert.equal((await app.as('ada').get('/auth/item')).statusCode, 200)
    } finally {
      await app.close()
    }
  })
})
