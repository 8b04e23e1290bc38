import assert from 'node:assert/strict'
import { createHmac, timingSafeEqual } from 'node:crypto'
import { after, before, beforeEach, describe, test } from 'node:test'
import { Type } from 'typebox'
import { defineFeature } from '../feature.ts'
import { createTestApp, type TestApp, type TestReply } from '../testing/index.ts'
import { signedAccess } from './access.ts'
import { standInUsers } from './testing/stand-in-users.ts'

const sign = (body: string | Buffer) => createHmac('sha256', 'secret').update(body).digest('hex')

const access = signedAccess({
  name: 'hmac',
  verify(request, rawBody) {
    const given = request.headers['x-signature']
    if (given === 'crash') throw new Error('canary')
    if (typeof given !== 'string' || given.length !== 64) return undefined
    return timingSafeEqual(Buffer.from(given), Buffer.from(sign(rawBody))) ? 'partner' : undefined
  },
})

let handled: unknown[] = []

const webhook = defineFeature({
  name: 'webhook',
  setup: () => ({
    routes(app) {
      const Event = Type.Object({ event: Type.String() }, { additionalProperties: false })
      const response = { 200: Type.Object({ from: Type.String(), via: Type.String() }) }
      app.post(
        '/public/webhook',
        { config: { access }, schema: { body: Event, response } },
        async (request) => {
          handled.push(request.body)
          return { from: request.principal?.subject ?? '', via: request.principal?.via ?? '' }
        },
      )
      app.get('/public/webhook', { config: { access }, schema: { response } }, async () => {
        handled.push('get')
        return { from: '', via: '' }
      })
    },
  }),
})

const body = '{ "event" : "paid" }'

describe('routes for senders who sign', () => {
  let app: TestApp
  before(async () => {
    app = await createTestApp([standInUsers, webhook])
  })
  after(async () => app.close())
  beforeEach(() => {
    handled = []
  })

  const send = (payload: string | undefined, headers: Record<string, string>): Promise<TestReply> =>
    app.app.http.inject({
      method: 'POST',
      url: '/public/webhook',
      headers: { 'content-type': 'application/json', ...headers },
      ...(payload !== undefined && { payload }),
    })

  test('a good signature over the bytes as they were sent is accepted', async () => {
    const reply = await send(body, { 'x-signature': sign(body) })
    assert.deepEqual([reply.statusCode, reply.json()], [200, { from: 'partner', via: 'signature' }])
    assert.deepEqual(handled, [{ event: 'paid' }])
  })

  const refused: readonly [string, string, Record<string, string>][] = [
    ['no signature', body, {}],
    ['an empty signature', body, { 'x-signature': '' }],
    ['another signature', body, { 'x-signature': sign('x') }],
    [
      'a signature of the parsed body',
      body,
      { 'x-signature': sign(JSON.stringify(JSON.parse(body))) },
    ],
    ['an altered body', body.replace('paid', 'sent'), { 'x-signature': sign(body) }],
    ['white space added to the body', `${body} `, { 'x-signature': sign(body) }],
    ['two signatures', body, { 'x-signature': `${sign(body)}, ${sign(body)}` }],
  ]
  for (const [name, payload, headers] of refused)
    test(`${name} answers 401, and the handler does not run`, async () => {
      const reply = await send(payload, headers)
      assert.equal(reply.statusCode, 401)
      assert.equal(reply.json<{ code: string }>().code, 'unauthenticated')
      assert.ok(reply.headers['www-authenticate'])
      assert.deepEqual(handled, [])
    })

  test('without a body there is nothing signed, so it is refused', async () => {
    const empty = await app.app.http.inject({
      method: 'POST',
      url: '/public/webhook',
      headers: { 'x-signature': sign('') },
    })
    assert.equal(empty.statusCode, 401)
    const get = await app.app.http.inject({
      url: '/public/webhook',
      headers: { 'x-signature': sign('') },
    })
    assert.equal(get.statusCode, 401)
    assert.deepEqual(handled, [])
  })

  test('a signed body is validated like any other, but only after its signature', async () => {
    const other = '{"event":1}'
    assert.equal((await send(other, { 'x-signature': sign(other) })).statusCode, 400)
    assert.equal((await send(other, { 'x-signature': sign(body) })).statusCode, 401)
    assert.deepEqual(handled, [])
  })

  test('a verifier that fails lets nobody in and gives nothing away', async () => {
    const reply = await send(body, { 'x-signature': 'crash' })
    assert.equal(reply.statusCode, 500)
    assert.ok(!reply.body.includes('canary'))
    assert.deepEqual(handled, [])
  })

  test('neither a token nor an API key replaces the signature', async () => {
    for (const client of [app.as('ada'), app.asService('users:read')])
      assert.equal((await client.post('/public/webhook', { event: 'paid' })).statusCode, 401)
    assert.deepEqual(handled, [])
  })
})
