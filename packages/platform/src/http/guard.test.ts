import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test, type TestContext } from 'node:test'
import { Type } from 'typebox'
import { defineFeature } from '../feature.ts'
import { defineLimitRule } from '../limits/limit-store.ts'
import { createTestApp, type TestApp, type TestReply } from '../testing/index.ts'
import { publicAccess, serviceAccess, userAccess } from './access.ts'
import { standInUserId, standInUsers } from './testing/stand-in-users.ts'

let handled = 0

const doors = defineFeature({
  name: 'doors',
  setup: () => ({
    routes(app) {
      const Who = Type.Object({ userId: Type.String(), via: Type.String() })
      const schema = { response: { 200: Who } }
      const add = (path: string, access: ReturnType<typeof userAccess>, limit?: number) =>
        app.get(
          path,
          {
            schema,
            config: {
              access,
              ...(limit && {
                limit: defineLimitRule({ name: 'own', quota: limit, windowSeconds: 60 }),
              }),
            },
          },
          async ({ principal }) => {
            handled++
            return { userId: principal?.userId ?? '', via: principal?.via ?? 'nothing' }
          },
        )
      add('/auth/any', userAccess())
      add('/auth/editors', userAccess({ roles: ['editor', 'admin'] }))
      add('/auth/limited', userAccess(), 2)
      add('/internal/read', serviceAccess('users:read'))
      add('/internal/both', serviceAccess('users:read', 'users:write'))
      add('/public/any', publicAccess())
      add('/public/limited', publicAccess(), 2)
    },
  }),
})

function assertCode(reply: TestReply, status: number, code: string): void {
  assert.equal(reply.statusCode, status)
  assert.equal(reply.json<{ code: string }>().code, code)
  assert.equal(handled, 0, 'a handler ran')
}

describe('who may come in', () => {
  let app: TestApp
  before(async () => {
    app = await createTestApp([standInUsers, doors])
  })
  after(async () => app.close())
  beforeEach(() => {
    handled = 0
  })

  const get = (url: string, headers: Record<string, string> = {}): Promise<TestReply> =>
    app.app.http.inject({ url, headers })
  const tokenOf = async (subject: string): Promise<string> =>
    (await app.as(subject).headers())['authorization']?.slice(7) ?? ''
  const keyOf = async (...scopes: [string, ...string[]]): Promise<string> =>
    (await app.asService(...scopes).headers())['x-api-key'] ?? ''

  test('a token opens a user route as its person', async () => {
    const reply = await app.as('ada').get('/auth/any')
    assert.deepEqual(reply.json(), {
      userId: standInUserId(app.issuer.issuer, 'ada'),
      via: 'bearer',
    })
  })

  for (const scheme of ['Bearer', 'bearer', 'BEARER'])
    test(`the scheme may be written ${scheme}`, async () => {
      const reply = await get('/auth/any', { authorization: `${scheme} ${await tokenOf('ada')}` })
      assert.equal(reply.statusCode, 200)
    })

  test('a request without proof answers 401 unauthenticated with a bare challenge', async () => {
    for (const url of ['/auth/any', '/auth/editors', '/internal/read']) {
      const reply = await get(url)
      assertCode(reply, 401, 'unauthenticated')
      assert.equal(reply.headers['www-authenticate'], 'Bearer realm="quayside"')
    }
  })

  const noProof: readonly [string, Record<string, string>][] = [
    ['another scheme', { authorization: 'Basic YTpi' }],
    ['a scheme without a token', { authorization: 'Bearer' }],
    ['an empty header', { authorization: '' }],
    ['the name of a user', { 'x-user-id': 'ada' }],
    ['a cookie', { cookie: 'token=x' }],
    ['a token without a scheme', { authorization: 'e30.e30.x' }],
  ]
  for (const [name, headers] of noProof)
    test(`${name} is no proof`, async () => {
      assertCode(await get('/auth/any', headers), 401, 'unauthenticated')
    })

  const badTokens: readonly [string, () => Promise<string> | string][] = [
    ['garbage', () => 'garbage'],
    ['an empty token', () => ' '],
    ['an altered signature', async () => `${(await tokenOf('ada')).slice(0, -2)}AA`],
    [
      'an altered payload',
      async () =>
        (await tokenOf('ada')).replace(
          /\.[^.]+\./,
          `.${Buffer.from('{"sub":"eve"}').toString('base64url')}.`,
        ),
    ],
    ['no signature', async () => (await tokenOf('ada')).replace(/[^.]+$/, '')],
    ['two tokens', async () => `${await tokenOf('ada')}, ${await tokenOf('eve')}`],
    ['a token with padding', async () => `${await tokenOf('ada')}=`],
    ['a token of another audience', () => app.issuer.token('ada', { aud: 'elsewhere' })],
    ['a token of another issuer', () => app.issuer.token('ada', { iss: 'https://evil.test' })],
    [
      'a token from the future',
      () => app.issuer.token('ada', { iat: Math.floor(app.clock.now().getTime() / 1000) + 3600 }),
    ],
    ['a token without a subject', () => app.issuer.token('')],
    ['a token with NUL in its subject', () => app.issuer.token('a\0b')],
  ]
  for (const [name, make] of badTokens)
    test(`${name} answers 401 token_invalid, which the challenge says`, async () => {
      const reply = await get('/auth/any', { authorization: `Bearer ${await make()}` })
      assertCode(reply, 401, 'token_invalid')
      assert.equal(
        reply.headers['www-authenticate'],
        'Bearer realm="quayside", error="invalid_token", error_description="The token is not valid."',
      )
    })

  test('an expired token answers 401 token_expired, so that the client refreshes', async () => {
    const nowS = Math.floor(app.clock.now().getTime() / 1000)
    const token = await app.issuer.token('ada', { iat: nowS - 7200, exp: nowS - 3600 })
    const reply = await get('/auth/any', { authorization: `Bearer ${token}` })
    assertCode(reply, 401, 'token_expired')
    assert.match(
      String(reply.headers['www-authenticate']),
      /^Bearer .*error="invalid_token".*expired/,
    )
  })

  test('a token that was good and cached is refused once it has expired', async () => {
    const nowS = Math.floor(app.clock.now().getTime() / 1000)
    const headers = {
      authorization: `Bearer ${await app.issuer.token('ada', { exp: nowS + 600 })}`,
    }
    assert.equal((await get('/auth/any', headers)).statusCode, 200)
    assert.equal((await get('/auth/any', headers)).statusCode, 200)
    handled = 0
    app.clock.advance(3_600_000)
    assertCode(await get('/auth/any', headers), 401, 'token_expired')
  })

  for (const [roles, status] of [
    [['editor'], 200],
    [['reader', 'admin'], 200],
    [['reader'], 403],
    [['Editor'], 403],
    [[], 403],
    ['editor', 200],
    ['editor admin', 403],
    [null, 403],
    [[null, 0, {}, ['editor']], 403],
    [{ editor: true }, 403],
  ] as const)
    test(`roles ${JSON.stringify(roles)} at a route for editors or admins: ${status}`, async () => {
      const reply = await app.as('ada', { roles }).get('/auth/editors')
      assert.equal(reply.statusCode, status)
      if (status === 403) assertCode(reply, 403, 'role_missing')
    })

  const places: readonly [string, (key: string) => Record<string, string>][] = [
    ['X-Api-Key', (key) => ({ 'x-api-key': key })],
    ['Authorization: Api-Key', (key) => ({ authorization: `Api-Key ${key}` })],
    ['Authorization: api-key', (key) => ({ authorization: `api-key ${key}` })],
    ['Authorization: Bearer', (key) => ({ authorization: `Bearer ${key}` })],
    ['apikey', (key) => ({ apikey: key })],
  ]
  for (const [place, headersFor] of places) {
    test(`an API key in ${place} opens a service route`, async () => {
      const reply = await get('/internal/read', headersFor(await keyOf('users:read')))
      assert.equal(reply.statusCode, 200)
      assert.equal(reply.json<{ via: string }>().via, 'api-key')
    })
    test(`an API key in ${place} opens no user route`, async () => {
      const headers = headersFor(await keyOf('users:read'))
      for (const url of ['/auth/any', '/auth/editors'])
        assertCode(await get(url, headers), 401, 'unauthenticated')
    })
  }

  test('a user token opens no service route, in whichever place', async () => {
    const token = await tokenOf('ada')
    for (const [, headersFor] of places)
      assertCode(await get('/internal/read', headersFor(token)), 401, 'unauthenticated')
  })

  test('beside an API key in apikey the bearer token says who is calling', async () => {
    const headers = {
      apikey: await keyOf('users:read'),
      authorization: `Bearer ${await tokenOf('ada')}`,
    }
    assert.deepEqual((await get('/auth/any', headers)).json(), {
      userId: standInUserId(app.issuer.issuer, 'ada'),
      via: 'bearer',
    })
  })

  test('a key opens exactly the routes all of whose scopes it has', async () => {
    const table: readonly [readonly [string, ...string[]], number, number, number][] = [
      [['users:read'], 200, 403, 403],
      [['users:write'], 403, 403, 403],
      [['users:read', 'users:write'], 200, 200, 403],
      [['users:reader'], 403, 403, 403],
      [['metrics:read'], 403, 403, 200],
    ]
    for (const [scopes, ...expected] of table) {
      const service = app.asService(...scopes)
      for (const [index, url] of ['/internal/read', '/internal/both', '/metrics'].entries()) {
        const reply = await service.get(url)
        assert.equal(reply.statusCode, expected[index], `${scopes.join()} at ${url}`)
        if (reply.statusCode === 403)
          assert.equal(reply.json<{ code: string }>().code, 'scope_missing')
      }
    }
  })

  test('a public route needs no proof and believes none', async () => {
    for (const headers of [{}, { authorization: 'Bearer garbage' }, { apikey: 'qk_x' }]) {
      const reply = await get('/public/any', headers)
      assert.deepEqual(reply.json(), { userId: '', via: 'nothing' })
    }
  })
})

describe('how often one may come', () => {
  async function start(context: TestContext, trustedProxies: string[] = []): Promise<TestApp> {
    const app = await createTestApp([standInUsers, doors], {
      http: { trustedProxies },
      limits: {
        user: { name: 'user', quota: 3, windowSeconds: 60 },
        address: { name: 'address', quota: 3, windowSeconds: 60 },
      },
    })
    context.after(async () => app.close())
    return app
  }

  async function statuses(
    times: number,
    send: (index: number) => Promise<TestReply>,
  ): Promise<number[]> {
    const found: number[] = []
    for (let index = 0; index < times; index++) found.push((await send(index)).statusCode)
    return found
  }

  test('every answer of a route tells what is left, and 429 when to come back', async (context) => {
    const app = await start(context)
    const ada = app.as('ada')
    const first = await ada.get('/auth/any')
    assert.equal(first.headers['ratelimit-policy'], '"user";q=3;w=60')
    assert.equal(first.headers['ratelimit'], '"user";r=2;t=60')
    app.clock.advance(20_000)
    assert.equal((await ada.get('/auth/any')).headers['ratelimit'], '"user";r=1;t=40')
    await ada.get('/auth/any')
    const refused = await ada.get('/auth/any')
    assert.equal(refused.statusCode, 429)
    assert.equal(refused.headers['content-type'], 'application/problem+json; charset=utf-8')
    assert.equal(refused.headers['retry-after'], '40')
    assert.equal(refused.headers['ratelimit-policy'], '"user";q=3;w=60')
    assert.equal(refused.headers['ratelimit'], '"user";r=0;t=40')
    const problem = refused.json<Record<string, unknown>>()
    assert.deepEqual([problem['code'], problem['status']], ['rate_limited', 429])
    assert.deepEqual(problem['violated-policies'], ['user'])
    app.clock.advance(40_000)
    assert.equal((await ada.get('/auth/any')).statusCode, 200)
  })

  test('one person does not use up the quota of another, even from one address', async (context) => {
    const app = await start(context)
    assert.deepEqual(await statuses(4, () => app.as('ada').get('/auth/any')), [200, 200, 200, 429])
    assert.equal((await app.as('eve').get('/auth/any')).statusCode, 200)
    assert.equal((await app.anybody.get('/public/any')).statusCode, 200)
  })

  test('another token of the same person shares the quota', async (context) => {
    const app = await start(context)
    assert.deepEqual(
      await statuses(4, (index) => app.as('ada', { jti: String(index) }).get('/auth/any')),
      [200, 200, 200, 429],
    )
  })

  test('refusals for a role or a scope count too', async (context) => {
    const app = await start(context)
    assert.deepEqual(
      await statuses(4, () => app.as('ada').get('/auth/editors')),
      [403, 403, 403, 429],
    )
    const service = app.asService('x:read')
    assert.deepEqual(await statuses(4, () => service.get('/internal/read')), [403, 403, 403, 429])
  })

  test('failed proofs of every kind count against the address, and lock out nobody who has one', async (context) => {
    const app = await start(context)
    const bad: Record<string, string>[] = [
      { authorization: 'Bearer x' },
      { 'x-api-key': `qk_${'0'.repeat(32)}_${'A'.repeat(43)}` },
      {},
      { authorization: 'Bearer y' },
    ]
    const urls = ['/auth/any', '/internal/read', '/auth/any', '/auth/any']
    assert.deepEqual(
      await statuses(4, (index) => app.anybody.get(urls[index] ?? '', bad[index])),
      [401, 401, 401, 429],
    )
    assert.equal((await app.as('ada').get('/auth/any')).statusCode, 200)
  })

  test('guessing paths and methods counts against the address', async (context) => {
    const app = await start(context)
    const urls = ['/auth/nothing', '/nowhere', '/auth/any', '/nowhere']
    const sent = urls.map((url) => () => app.anybody.put(url, {}))
    assert.deepEqual(
      await statuses(4, (index) => sent[index]?.() ?? app.anybody.get('/')),
      [404, 404, 405, 429],
    )
    assert.equal((await app.as('ada').get('/auth/any')).statusCode, 200)
  })

  test('HEAD counts once, like any request', async (context) => {
    const app = await start(context)
    const headers = await app.as('ada').headers()
    const reply = await app.app.http.inject({ method: 'HEAD', url: '/auth/any', headers })
    assert.equal(reply.headers['ratelimit'], '"user";r=2;t=60')
  })

  test("a route's own limit holds beside the general one, per person or address", async (context) => {
    const app = await start(context)
    const ada = app.as('ada')
    assert.deepEqual(await statuses(3, () => ada.get('/auth/limited')), [200, 200, 429])
    const refused = (await app.as('eve').get('/auth/limited')).headers
    assert.equal(refused['ratelimit-policy'], '"own";q=2;w=60')
    assert.equal(refused['ratelimit'], '"own";r=1;t=60')
    assert.deepEqual(await statuses(3, () => app.anybody.get('/public/limited')), [200, 200, 429])
  })

  const from = (app: TestApp, remoteAddress: string, forwardedFor?: string): Promise<TestReply> =>
    app.app.http.inject({
      url: '/public/any',
      remoteAddress,
      headers: forwardedFor === undefined ? {} : { 'x-forwarded-for': forwardedFor },
    })

  test('a forged X-Forwarded-For changes nothing when no proxy is trusted', async (context) => {
    const app = await start(context)
    const forged = ['198.51.100.1', '198.51.100.2, 10.0.0.1', 'unknown', '::1']
    assert.deepEqual(
      await statuses(4, (index) => from(app, '203.0.113.9', forged[index])),
      [200, 200, 200, 429],
    )
  })

  test('a peer that is no trusted proxy cannot forge one either', async (context) => {
    const app = await start(context, ['10.0.0.0/8'])
    assert.deepEqual(
      await statuses(4, (index) => from(app, '203.0.113.9', `198.51.100.${index}`)),
      [200, 200, 200, 429],
    )
  })

  test('behind a trusted proxy clients are told apart by what the proxy added, not by what they sent', async (context) => {
    const app = await start(context, ['10.0.0.0/8'])
    assert.deepEqual(
      await statuses(4, (index) => from(app, '10.0.0.1', `198.51.100.${index}`)),
      [200, 200, 200, 200],
    )
    // The client wrote the first part itself.
    assert.deepEqual(
      await statuses(4, (index) =>
        from(app, '10.0.0.1', `192.0.2.${index}, 203.0.113.77, 10.2.0.1`),
      ),
      [200, 200, 200, 429],
    )
  })

  test('one IPv6 line is one client, however many addresses it has', async (context) => {
    const app = await start(context)
    assert.deepEqual(
      await statuses(4, (index) => from(app, `2001:db8:1:2::${index + 1}`)),
      [200, 200, 200, 429],
    )
    assert.equal((await from(app, '2001:db8:1:3::1')).statusCode, 200)
  })
})
