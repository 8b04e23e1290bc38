import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { Type } from 'typebox'
import { defineFeature } from '../feature.ts'
import { createTestApp, type TestApp, type TestReply } from '../testing/index.ts'
import { userAccess } from './access.ts'
import { etagOf, ifMatch, sendConditional } from './preconditions.ts'
import { standInUsers } from './testing/stand-in-users.ts'

let cup = { id: '1', text: 'tea' }
let changes = 0

const cups = defineFeature({
  name: 'cups',
  setup: () => ({
    routes(app) {
      const config = { access: userAccess() }
      const Cup = Type.Object({ id: Type.String(), text: Type.String() })
      const Reply = Type.Object({ cup: Cup })
      app.get(
        '/auth/cup',
        { config, schema: { response: { 200: Reply } } },
        async (request, reply) => sendConditional(request, reply, { cup }),
      )
      const body = Type.Object({ text: Type.String() })
      app.patch(
        '/auth/cup',
        { config, schema: { body, response: { 200: Reply } } },
        async (request) => {
          ifMatch(request)(cup)
          changes++
          cup = { ...cup, text: request.body.text }
          return { cup }
        },
      )
      app.delete(
        '/auth/cup',
        { config, schema: { response: { 204: Type.Null() } } },
        async (request, reply) => {
          ifMatch(request)(cup)
          changes++
          reply.status(204)
        },
      )
    },
  }),
})

describe('ETag, If-None-Match and If-Match', () => {
  let app: TestApp
  before(async () => {
    app = await createTestApp([standInUsers, cups])
  })
  after(async () => app.close())
  beforeEach(() => {
    cup = { id: '1', text: 'tea' }
    changes = 0
  })

  const get = (headers = {}): Promise<TestReply> => app.as('ada').get('/auth/cup', headers)
  const etag = () => etagOf(cup)

  test('a thing answers with a strong ETag that is the same until the thing changes', async () => {
    const first = await get()
    assert.match(String(first.headers['etag']), /^"[A-Za-z0-9_-]{27}"$/)
    assert.equal((await get()).headers['etag'], first.headers['etag'])
    assert.equal(first.headers['etag'], etag())
    cup = { ...cup, text: 'coffee' }
    assert.notEqual((await get()).headers['etag'], first.headers['etag'])
  })

  test('what has an ETag may be kept but must be asked about again', async () => {
    assert.equal((await get()).headers['cache-control'], 'private, no-cache')
    assert.equal(
      (await get({ 'if-none-match': etag() })).headers['cache-control'],
      'private, no-cache',
    )
  })

  const same: readonly [string, () => string][] = [
    ['the ETag', () => etag()],
    ['the weak ETag', () => `W/${etag()}`],
    ['a star', () => '*'],
    ['a list that holds it', () => `"a", ${etag()}, "b"`],
    ['a list without spaces', () => `"a",W/${etag()}`],
    ['white space around it', () => `  ${etag()} `],
  ]
  for (const [name, value] of same)
    test(`If-None-Match with ${name} answers 304 without a body`, async () => {
      const reply = await get({ 'if-none-match': value() })
      assert.equal(reply.statusCode, 304)
      assert.equal(reply.body, '')
      assert.equal(reply.headers['etag'], etag())
      assert.equal(reply.headers['content-type'], undefined)
    })

  for (const value of ['"other"', '"a", "b"', '', 'tea', '""', '"*"', 'W/"other"'])
    test(`If-None-Match: ${value} answers the thing`, async () => {
      const reply = await get({ 'if-none-match': value })
      assert.deepEqual([reply.statusCode, reply.json()], [200, { cup }])
    })

  test('an ETag without its quotes is not it', async () => {
    assert.equal((await get({ 'if-none-match': etag().replaceAll('"', '') })).statusCode, 200)
  })

  for (const method of ['PATCH', 'DELETE'] as const) {
    const change = (given?: string): Promise<TestReply> => {
      const headers = given === undefined ? {} : { 'if-match': given }
      const ada = app.as('ada')
      return method === 'PATCH'
        ? ada.patch('/auth/cup', { text: 'x' }, headers)
        : ada.delete('/auth/cup', headers)
    }

    for (const [name, value] of [
      ['no If-Match', () => undefined],
      ['the ETag', () => etag()],
      ['a star', () => '*'],
      ['a list that holds it', () => `"a", ${etag()}`],
    ] as const)
      test(`${method} with ${name} changes the thing`, async () => {
        assert.ok((await change(value())).statusCode < 300)
        assert.equal(changes, 1)
      })

    for (const [name, value] of [
      ['an older ETag', () => etagOf({ ...cup, text: 'water' })],
      ['the weak ETag', () => `W/${etag()}`],
      ['a list without it', () => '"a", "b"'],
      ['nothing in the header', () => ''],
      ['no quotes', () => etag().replaceAll('"', '')],
    ] as const)
      test(`${method} with ${name} answers 412 and changes nothing`, async () => {
        const reply = await change(value())
        assert.equal(reply.statusCode, 412)
        assert.equal(reply.json<{ code: string }>().code, 'precondition_failed')
        assert.equal(changes, 0)
      })
  }
})
