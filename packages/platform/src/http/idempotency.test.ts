import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { Type } from 'typebox'
import { AppError } from '../errors.ts'
import { defineFeature } from '../feature.ts'
import { createTestApp, type TestApp, type TestClient, type TestReply } from '../testing/index.ts'
import { publicAccess, serviceAccess, userAccess } from './access.ts'
import { standInUsers } from './testing/stand-in-users.ts'

/** How the next handlers end, after they have written. */
let ending: 'well' | 'refused' | 'crash' | 'killed' | 'unavailable' | 'uncommittable' = 'well'
let beforeEnd: () => Promise<void> = async () => {}

const notes = defineFeature({
  name: 'notes',
  setup: ({ sql, transaction, newId }) => ({
    routes(app) {
      const Note = Type.Object({ text: Type.String() }, { additionalProperties: false })
      const Reply = Type.Object({ id: Type.String(), text: Type.String() })
      const schema = { body: Note, response: { 201: Reply } }
      const write = async (text: string): Promise<string> => {
        const id = newId()
        await sql`insert into notes (id, text) values (${id}, ${text})`
        await beforeEnd()
        if (ending === 'refused')
          throw new AppError('note_refused', 409, 'No.', { headers: { 'X-Why': 'no' } })
        if (ending === 'crash') throw new Error('crash')
        if (ending === 'unavailable') throw new AppError('unavailable', 503, 'Later.')
        if (ending === 'killed') await sql`select pg_terminate_backend(pg_backend_pid())`
        if (ending === 'uncommittable') await sql`update notes set late = 1 where id = ${id}`
        return id
      }
      const paths = [
        ['/auth/notes', userAccess()],
        ['/internal/notes', serviceAccess('notes:write')],
        ['/public/notes', publicAccess()],
        ['/auth/v1/notes', userAccess()],
      ] as const
      for (const [path, access] of paths)
        app.post(path, { config: { access }, schema }, async ({ body }, reply) => {
          reply.status(201).header('location', `/auth/notes/1`).header('etag', '"1"')
          return { id: await write(body.text), text: body.text, hidden: 'canary' }
        })
      app.post(
        '/auth/sent-elsewhere',
        { config: { access: userAccess(), idempotency: false }, schema },
        async ({ body }, reply) => {
          reply.status(201)
          return { id: await write(body.text), text: body.text }
        },
      )
      app.post(
        '/auth/nested',
        { config: { access: userAccess() }, schema },
        async ({ body }, reply) => {
          await write('outer')
          await transaction(async () => {
            await write('inner')
            throw new Error('inner')
          }).catch(() => {})
          reply.status(201)
          return { id: '', text: body.text }
        },
      )
      const params = Type.Object({ id: Type.String() })
      const config = { access: userAccess() }
      app.put(
        '/auth/notes/:id',
        { config, schema: { params, body: Note, response: { 200: Reply } } },
        async ({ body }) => ({
          id: await write(body.text),
          text: body.text,
        }),
      )
      app.patch(
        '/auth/notes/:id',
        { config, schema: { params, body: Note, response: { 200: Reply } } },
        async ({ body }) => ({
          id: await write(body.text),
          text: body.text,
        }),
      )
      app.delete(
        '/auth/notes/:id',
        { config, schema: { params, response: { 204: Type.Null() } } },
        async (_request, reply) => {
          await write('deleted')
          reply.status(204)
        },
      )
      app.get('/auth/notes', { config, schema: { response: { 200: Reply } } }, async () => ({
        id: await write('read'),
        text: '',
      }))
    },
  }),
})

describe('Idempotency-Key', () => {
  let app: TestApp
  let ada: TestClient
  before(async () => {
    app = await createTestApp([standInUsers, notes])
    await app.database.sql`
      create table notes (id uuid primary key, text text not null, late int,
        constraint notes_late_key unique (late) deferrable initially deferred)`
    ada = app.as('ada')
  })
  after(async () => app.close())
  beforeEach(async () => {
    ending = 'well'
    beforeEnd = async () => {}
    await app.database.sql`delete from notes`
    await app.database.sql`delete from idempotency_keys`
  })

  const post = (
    key: string | undefined,
    body: unknown = { text: 'x' },
    client = ada,
    url = '/auth/notes',
  ): Promise<TestReply> =>
    client.post(url, body, key === undefined ? {} : { 'idempotency-key': key })
  const noteCount = async (): Promise<number> =>
    (await app.database.sql`select 1 from notes`).length
  const keyCount = async (): Promise<number> =>
    (await app.database.sql`select 1 from idempotency_keys`).length
  const codeOf = (reply: TestReply): string => reply.json<{ code: string }>().code

  test('a repeated request gets the first reply word for word and takes effect once', async () => {
    const first = await post('k1')
    const second = await post('k1')
    assert.equal(first.statusCode, 201)
    assert.equal(first.headers['idempotency-replayed'], undefined)
    assert.equal(second.headers['idempotency-replayed'], 'true')
    assert.equal(second.statusCode, 201)
    assert.equal(second.body, first.body)
    for (const name of ['content-type', 'location', 'etag', 'cache-control'])
      assert.equal(second.headers[name], first.headers[name], name)
    assert.equal(first.headers['location'], '/auth/notes/1')
    assert.equal(first.headers['etag'], '"1"')
    assert.notEqual(second.headers['x-request-id'], first.headers['x-request-id'])
    assert.equal(await noteCount(), 1)
  })

  test('the reply with a key equals the reply without one, and holds nothing undeclared', async () => {
    const [plain, keyed] = [await post(undefined), await post('k1')]
    const shape = ({ statusCode, headers, body }: TestReply) => ({
      statusCode,
      names: Object.keys(headers).toSorted(),
      type: headers['content-type'],
      keys: Object.keys(JSON.parse(body) as object),
    })
    assert.deepEqual(shape(keyed), shape(plain))
    const stored = await app.database.sql`select body from idempotency_keys`
    assert.ok(!JSON.stringify(stored).includes('canary'))
  })

  test('without a key every request takes effect', async () => {
    await post(undefined)
    await post(undefined)
    assert.equal(await noteCount(), 2)
    assert.equal(await keyCount(), 0)
  })

  test('the same key with another body, address or method answers 422 and changes nothing', async () => {
    await post('k1')
    const others = [
      await post('k1', { text: 'y' }),
      await ada.post('/auth/notes', '{ "text": "x" }', {
        'idempotency-key': 'k1',
        'content-type': 'application/json',
      }),
      await ada.put('/auth/notes/1', { text: 'x' }, { 'idempotency-key': 'k1' }),
      await ada.delete('/auth/notes/1', { 'idempotency-key': 'k1' }),
    ]
    for (const reply of others)
      assert.deepEqual([reply.statusCode, codeOf(reply)], [422, 'idempotency_key_reused'])
    assert.equal(await noteCount(), 1)
    assert.equal((await post('k1')).headers['idempotency-replayed'], 'true')
  })

  test('quoted and unquoted, a key is the same', async () => {
    await post('k1')
    assert.equal((await post('"k1"')).headers['idempotency-replayed'], 'true')
    assert.equal(await noteCount(), 1)
  })

  test('50 requests at once take effect exactly once', async () => {
    const replies = await Promise.all(Array.from({ length: 50 }, () => post('k1')))
    const fresh = replies.filter(
      (reply) => reply.statusCode === 201 && !reply.headers['idempotency-replayed'],
    )
    const replayed = replies.filter((reply) => reply.headers['idempotency-replayed'] === 'true')
    const running = replies.filter((reply) => reply.statusCode === 409)
    assert.equal(fresh.length, 1)
    assert.equal(fresh.length + replayed.length + running.length, 50)
    for (const reply of running) assert.equal(codeOf(reply), 'idempotency_in_progress')
    for (const reply of replayed) assert.equal(reply.body, fresh[0]?.body)
    assert.equal(await noteCount(), 1)
  })

  test('while the first request runs, the second answers 409, and afterwards the first reply', async () => {
    const { promise: gate, resolve: open } = Promise.withResolvers<void>()
    const { promise: inside, resolve: enter } = Promise.withResolvers<void>()
    beforeEnd = async () => {
      enter()
      await gate
    }
    const first = post('k1')
    await inside
    const second = await post('k1')
    assert.deepEqual([second.statusCode, codeOf(second)], [409, 'idempotency_in_progress'])
    open()
    assert.equal((await first).statusCode, 201)
    const third = await post('k1')
    assert.equal(third.headers['idempotency-replayed'], 'true')
    assert.equal(third.body, (await first).body)
    assert.equal(await noteCount(), 1)
  })

  test('a refusal is stored, and what the handler had written before it is undone', async () => {
    ending = 'refused'
    const first = await post('k1')
    ending = 'well'
    const second = await post('k1')
    assert.deepEqual([first.statusCode, codeOf(first)], [409, 'note_refused'])
    assert.equal(second.statusCode, 409)
    assert.equal(second.body, first.body)
    assert.equal(second.headers['content-type'], 'application/problem+json; charset=utf-8')
    assert.equal(second.headers['x-why'], 'no')
    assert.equal(second.headers['idempotency-replayed'], 'true')
    for (const { headers } of [first, second])
      assert.deepEqual([headers['location'], headers['etag']], [undefined, undefined])
    assert.equal(await noteCount(), 0)
  })

  test('a handler may undo a part of its own work and keep the rest', async () => {
    await post('k1', { text: 'x' }, ada, '/auth/nested')
    assert.deepEqual([...(await app.database.sql`select text from notes`)], [{ text: 'outer' }])
  })

  for (const [how, status] of [
    ['crash', 500],
    ['unavailable', 503],
    ['killed', 503],
    ['uncommittable', 500],
  ] as const)
    test(`when the handler ends ${how} (${status}), nothing is stored and a retry succeeds`, async () => {
      if (how === 'uncommittable')
        await app.database.sql`insert into notes values (gen_random_uuid(), 'first', 1)`
      const earlier = await noteCount()
      ending = how
      const first = await post('k1')
      assert.equal(first.statusCode, status)
      assert.equal(first.headers['content-type'], 'application/problem+json; charset=utf-8')
      if (status === 503) assert.ok(first.headers['retry-after'])
      assert.equal(first.headers['location'], undefined)
      assert.deepEqual([await noteCount(), await keyCount()], [earlier, 0])
      ending = 'well'
      const retry = await post('k1')
      assert.equal(retry.statusCode, 201)
      assert.equal(retry.headers['idempotency-replayed'], undefined)
      assert.deepEqual([await noteCount(), await keyCount()], [earlier + 1, 1])
    })

  test('input that is refused before the handler is not stored', async () => {
    assert.equal((await post('k1', { text: 1 })).statusCode, 400)
    assert.equal((await post('k1')).statusCode, 201)
  })

  test('a key belongs to the principal who used it', async () => {
    const clients = [ada, app.as('eve'), app.as('ada2')]
    for (const client of clients)
      assert.equal((await post('k1', undefined, client)).statusCode, 201)
    for (const service of [app.asService('notes:write'), app.asService('notes:write')])
      assert.equal((await post('k1', undefined, service, '/internal/notes')).statusCode, 201)
    assert.equal(await noteCount(), 5)
    assert.equal(
      (await post('k1', undefined, app.as('eve', { jti: 'x' }))).headers['idempotency-replayed'],
      'true',
    )
  })

  test('PUT, PATCH and DELETE are replayed like POST', async () => {
    const headers = (key: string) => ({ 'idempotency-key': key })
    for (const [key, send] of [
      ['put', () => ada.put('/auth/notes/1', { text: 'x' }, headers('put'))],
      ['patch', () => ada.patch('/auth/notes/1', { text: 'x' }, headers('patch'))],
      ['delete', () => ada.delete('/auth/notes/1', headers('delete'))],
    ] as const) {
      const [first, second] = [await send(), await send()]
      assert.equal(first.statusCode, key === 'delete' ? 204 : 200)
      assert.equal(second.statusCode, first.statusCode)
      assert.equal(second.body, first.body)
      assert.equal(second.headers['idempotency-replayed'], 'true')
    }
    assert.equal(await noteCount(), 3)
  })

  test('a 204 has neither a body nor headers that speak of one, first or replayed', async () => {
    for (let round = 0; round < 2; round++) {
      const reply = await ada.delete('/auth/notes/1', { 'idempotency-key': 'k1' })
      assert.equal(reply.statusCode, 204)
      assert.equal(reply.body, '')
      assert.equal(reply.headers['content-length'], undefined)
      assert.equal(reply.headers['content-type'], undefined)
    }
  })

  test('GET, public routes, the protocols and routes that say so leave the key alone', async () => {
    for (let round = 0; round < 2; round++) {
      await ada.get('/auth/notes', { 'idempotency-key': 'k1' })
      for (const url of ['/public/notes', '/auth/v1/notes', '/auth/sent-elsewhere'])
        assert.equal(
          (await post('k1', undefined, ada, url)).headers['idempotency-replayed'],
          undefined,
        )
    }
    assert.equal(await noteCount(), 8)
    assert.equal(await keyCount(), 0)
  })

  test('after 24 hours a key is new again, and expired replies are removed', async () => {
    await post('old')
    await post('young')
    await app.database
      .sql`update idempotency_keys set created_at = now() - interval '23 hours 59 minutes'`
    assert.equal((await post('old')).headers['idempotency-replayed'], 'true')
    await app.database.sql`
      update idempotency_keys set created_at = now() - interval '24 hours 1 second' where key = 'old'`
    assert.equal((await post('old')).headers['idempotency-replayed'], undefined)
    assert.equal((await post('old')).headers['idempotency-replayed'], 'true')
    assert.equal(await noteCount(), 3)
    await app.database.sql`
      update idempotency_keys set created_at = now() - interval '24 hours 1 second' where key = 'old'`
    await app.app.cleanUp()
    assert.deepEqual(
      [...(await app.database.sql`select key from idempotency_keys`)],
      [{ key: 'young' }],
    )
  })

  for (const key of ['', '""', '" "', 'a b', 'a\tb', '"a", "b"', 'x'.repeat(256), 'ä', '\x7f'])
    test(`the key ${JSON.stringify(key.slice(0, 10))} is refused`, async () => {
      const reply = await post(key)
      assert.deepEqual([reply.statusCode, codeOf(reply)], [400, 'invalid_request'])
      assert.equal(await noteCount(), 0)
    })

  for (const key of [
    'a',
    'x'.repeat(255),
    '8e03978e-40d5-43dd-bc93-6894a57f9324',
    "!#$%&'()*+,-./:;<=>?@[]^_`{|}~",
  ])
    test(`the key ${JSON.stringify(key.slice(0, 10))} is accepted`, async () => {
      assert.equal((await post(key)).statusCode, 201)
      assert.equal((await post(key)).headers['idempotency-replayed'], 'true')
    })
})
