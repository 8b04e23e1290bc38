import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, test } from 'node:test'
import Fastify, { type FastifyRequest } from 'fastify'
import type { Sql } from '../database/connect.ts'
import type { App } from '../feature.ts'
import { createTestDatabase } from '../testing/test-database.ts'
import { addRequestTracing } from './request-tracing.ts'
import { startTracing } from './testing/tracing-fixture.ts'
import { traceDatabase } from './traced-database.ts'
import type { Tracing } from './tracing.ts'

const pool = await createTestDatabase()
after(() => pool.close())

test('queries of a handler are children of its request', async () => {
  const { tracing, finish } = await startTracing()
  const { sql } = traceDatabase(pool, tracing)
  const app = createApp(tracing)
  app.get('/auth/:id', routeOf('/auth/:id'), async () => sql`select 1 as answer`)
  const got = await app.inject('/auth/7?q=s3cr3t')
  assert.deepEqual(got.json(), [{ answer: 1 }])
  await app.close()
  const spans = await finish()
  const request = spans.find(({ name }) => name === 'GET /auth/:id')
  const query = spans.find(({ name }) => name === 'SELECT')
  assert.equal(spans.length, 2)
  assert.equal(query?.traceId, request?.traceId)
  assert.equal(query?.parentSpanId, request?.spanId)
  assert.equal(request?.attributes['http.response.status_code'], 200)
  assert.equal(request.attributes['url.path'], '/auth/7')
})

test('a body that arrives late does not part a handler from its request', async () => {
  const { tracing, finish } = await startTracing()
  const { sql, transaction } = traceDatabase(pool, tracing)
  const app = createApp(tracing)
  const reading = Promise.withResolvers<void>()
  app.addHook('preParsing', (_request, _reply, _payload, done) => {
    setImmediate(reading.resolve)
    done()
  })
  app.post('/auth/:id', routeOf('/auth/:id'), async () =>
    transaction(async () => sql`select 2 as answer`),
  )
  const { port } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  const socket = connect(Number(port), '127.0.0.1')
  socket.write('POST /auth/8 HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n')
  socket.write('Connection: close\r\nContent-Length: 2\r\n\r\n')
  await reading.promise
  socket.write('{}')
  socket.resume()
  await once(socket, 'close')
  await app.close()
  const spans = await finish()
  const request = spans.find(({ name }) => name === 'POST /auth/:id')
  const query = spans.find(({ name }) => name === 'SELECT')
  assert.equal(request?.attributes['http.response.status_code'], 200)
  assert.equal(query?.parentSpanId, request.spanId)
})

test('a request continues the trace of its headers, and a thrown error fails its span', async () => {
  const { tracing, finish } = await startTracing()
  const app = createApp(tracing)
  app.get('/fails', routeOf('/fails'), async () => {
    throw new Error('s3cr3t')
  })
  const traceId = '0af7651916cd43dd8448eb211c80319c'
  const headers = { traceparent: `00-${traceId}-b7ad6b7169203331-01` }
  assert.equal((await app.inject({ url: '/fails', headers })).statusCode, 500)
  assert.equal((await app.inject('/nowhere/s3cr3t')).statusCode, 404)
  await app.close()
  const [failed, missing] = await finish()
  assert.equal(failed?.name, 'GET /fails')
  assert.equal(failed.traceId, traceId)
  assert.equal(failed.parentSpanId, 'b7ad6b7169203331')
  assert.equal(failed.statusCode, 2)
  assert.equal(failed.attributes['error.type'], '500')
  assert.equal(missing?.name, 'GET')
  assert.equal(missing.attributes['url.path'], '/nowhere/REDACTED')
})

test('a client that leaves before the reply ends its span', async () => {
  const { tracing, finish } = await startTracing()
  const app = createApp(tracing)
  const started = Promise.withResolvers<void>()
  const left = Promise.withResolvers<void>()
  app.addHook('onRequestAbort', (_request, done) => {
    left.resolve()
    done()
  })
  app.get('/slow', routeOf('/slow'), async () => {
    started.resolve()
    await left.promise
    return {}
  })
  const { port } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  const socket = connect(Number(port), '127.0.0.1')
  socket.write('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n')
  await started.promise
  socket.destroy()
  await once(socket, 'close')
  await left.promise
  await app.close()
  const spans = await finish()
  assert.deepEqual(
    spans.map(({ name, attributes }) => [name, attributes['error.type']]),
    [['GET /slow', 'client_closed_request']],
  )
})

test('each way to run a query is recorded once, with its final text', async () => {
  const { tracing, finish } = await startTracing()
  const { sql, poolSql, transaction } = traceDatabase(pool, tracing)
  const list = sql`${sql('b')} = ${'two'}`
  const ways: readonly (readonly [string, (use: Sql) => Promise<unknown>])[] = [
    ['select $1::int as a', (use) => use`select ${1}::int as a`],
    [
      'select a from ( select ? as a, $1::text as "b" ) t where "b" = $2',
      (use) =>
        use`select a from (${use`select 1 as a, ${'two'}::text as ${use('b')}`}) t where ${list}`,
    ],
    ['select $1::text as a', (use) => use.unsafe('select $1::text as a', ['s3cr3t'])],
    ['select ? as then', (use) => use`select 1 as then`.then((rows) => rows)],
    ['select ? as values', (use) => use`select 1 as values`.values()],
    ['select ? as raw', (use) => use`select 1 as raw`.execute()],
  ]
  for (const [, run] of ways) await run(sql)
  for (const [, run] of ways) await run(poolSql)
  await transaction(async () => {
    for (const [, run] of ways) await run(sql)
  })
  assert.deepEqual([...(await sql`select ${'x'}::text as a`)], [{ a: 'x' }])
  const seen = (await finish()).map(({ attributes }) => normal(attributes['db.query.text']))
  const texts = ways.map(([text]) => normal(text))
  assert.deepEqual(seen, [...texts, ...texts, ...texts, 'select $1::text as a'])
})

test("a refused query fails its span and its caller, with the driver's error", async () => {
  const { tracing, finish } = await startTracing()
  const { sql } = traceDatabase(pool, tracing)
  await assert.rejects(sql`select ${'s3cr3t'}::int`, { code: '22P02' })
  await assert.rejects(sql`select 1 from missing`.execute(), { code: '42P01' })
  const spans = await finish()
  assert.deepEqual(
    spans.map(({ attributes }) => attributes['db.response.status_code']),
    ['22P02', '42P01'],
  )
})

function createApp(tracing: Tracing): App {
  const app = Fastify() as unknown as App
  app.decorateRequest('routeState', null)
  app.decorateRequest('principal', null)
  addRequestTracing(app, tracing)
  return app
}

/** What the guard does: it knows the route before anything else of the route runs. */
function routeOf(pattern: string) {
  return {
    onRequest: async (request: FastifyRequest) => {
      request.routeState = { method: '', pattern, access: { kind: 'public' }, observe: () => {} }
    },
  }
}

function normal(text: unknown): string {
  return String(text).replaceAll(/\s*([()])\s*/g, '$1')
}
