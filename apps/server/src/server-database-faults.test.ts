import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, beforeEach, describe, test } from 'node:test'
import {
  createOwnPostgres,
  type OwnPostgres,
} from '@quayside/platform/database/testing/own-postgres'
import { createTcpProxy, type TcpProxy } from '@quayside/platform/database/testing/tcp-proxy'
import postgres from 'postgres'
import { createHttpClient, type HttpClient, type Reply } from './testing/http-client.ts'
import { type ServerProcess, startServerProcess } from './testing/server-process.ts'
import { startTokenIssuer, type TokenIssuer } from './testing/token-issuer.ts'

const statementTimeoutMs = 1_000

describe('a database in trouble', { timeout: 120_000 }, () => {
  let database: OwnPostgres
  let proxy: TcpProxy
  let issuer: TokenIssuer
  let server: ServerProcess
  let client: HttpClient
  const cleanUps: (() => unknown)[] = []
  const whole = { after: (work: unknown) => void cleanUps.push(work as () => unknown) }
  before(async () => {
    database = await createOwnPostgres()
    proxy = await createTcpProxy(database.port)
    await asAdmin(`create role app login password 'app'`, `create database app owner app`)
    issuer = await startTokenIssuer(whole)
    client = createHttpClient(whole)
    server = await startServerProcess(whole, {
      DATABASE_URL: `postgres://app:app@127.0.0.1:${proxy.port}/app`,
      DATABASE_POOL_SIZE: '5',
      DATABASE_STATEMENT_TIMEOUT_MS: String(statementTimeoutMs),
      DATABASE_LOCK_TIMEOUT_MS: '500',
      ...issuer.env,
    })
  })
  after(async () => {
    for (const cleanUp of cleanUps) await cleanUp()
    await proxy.close()
    await database.remove()
  })
  beforeEach(async () => {
    // The person is known, and every connection of the pool has recovered from the test before.
    for (;;) {
      const replies = await Promise.all([1, 2, 3, 4, 5].map(() => orders()))
      if (replies.every(({ status }) => status === 200)) break
    }
  })

  const asAdmin = async (...statements: string[]) => {
    const admin = postgres(database.url, { max: 1 })
    for (const statement of statements) await admin.unsafe(statement)
    await admin.end()
  }
  const get = (path: string) =>
    client.send(`${server.url}${path}`, { headers: issuer.headers('shopper') })
  const orders = () => get('/auth/orders')
  const place = (key: string) =>
    client.send(`${server.url}/auth/orders`, {
      headers: { ...issuer.headers('shopper'), 'idempotency-key': key },
      body: { item: key, total: 19.99 },
    })

  function assertUnavailable(reply: Reply): void {
    assert.equal(reply.status, 503, reply.text)
    assert.match(reply.headers['retry-after'] ?? '', /^[1-9]\d*$/)
    assert.equal(reply.headers['content-type'], 'application/problem+json; charset=utf-8')
    assert.equal((JSON.parse(reply.text) as { code: string }).code, 'unavailable')
  }
  async function assertAlive(): Promise<void> {
    assert.equal((await client.send(`${server.url}/health/live`)).status, 200)
    assert.equal(server.child.exitCode, null)
  }
  /** Asks until it is served, and answers how long that took; the limit of the test ends it. */
  async function recovery(): Promise<number> {
    const startedMs = performance.now()
    for (;;) {
      const reply = await orders()
      if (reply.status === 200) return Math.round(performance.now() - startedMs)
      assertUnavailable(reply)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  for (const how of ['fast', 'immediate'] as const)
    test(`PostgreSQL restarts (${how}) under load: 503 meanwhile, nothing is lost, nothing is twice`, async (t) => {
      const load = { isRunning: true, refusals: 0 }
      const placed = new Map<string, string>()
      const write = async () => {
        while (load.isRunning) {
          const key = randomUUID()
          for (;;) {
            const reply = await place(key)
            if (reply.status === 201) {
              placed.set(key, (JSON.parse(reply.text) as { order: { id: string } }).order.id)
              break
            }
            // A connection that was lost may hold the key for a moment.
            if (reply.status !== 409) assertUnavailable(reply)
            if (reply.status === 503) load.refusals++
            await new Promise((resolve) => setTimeout(resolve, 50))
          }
        }
      }
      const writers = Array.from({ length: 10 }, write)
      const placedSome = async () => {
        const enough = placed.size + 20
        while (placed.size < enough) await new Promise((resolve) => setTimeout(resolve, 5))
      }
      await placedSome()
      await database.stop(how)
      while (load.refusals === 0) await new Promise((resolve) => setTimeout(resolve, 5))
      assertUnavailable(await orders())
      await assertAlive()
      await database.start()
      t.diagnostic(`served ${await recovery()} ms after it was back`)
      await placedSome()
      load.isRunning = false
      await Promise.all(writers)
      const app = postgres(database.url.replace(/[^/]+$/, 'app'), { max: 1 })
      const rows = await app<{ item: string; id: string }[]>`select item, id from orders`
      await app.end()
      const ids = Map.groupBy(rows, ({ item }) => item)
      for (const [key, id] of placed)
        assert.deepEqual(
          ids.get(key)?.map((row) => row.id),
          [id],
          `${key} is not there exactly once`,
        )
    })

  test('packets vanish: every request ends soon after the time of a statement, and the pool recovers', async (t) => {
    proxy.swallow()
    const startedMs = performance.now()
    const replies = await Promise.all([
      ...Array.from({ length: 5 }, () => orders()),
      ...Array.from({ length: 3 }, () => place(randomUUID())),
    ])
    const tookMs = performance.now() - startedMs
    for (const reply of replies) assertUnavailable(reply)
    await assertAlive()
    // A reconnection that nobody answers is given up after two more seconds.
    assert(tookMs < statementTimeoutMs + 5_000, `it took ${tookMs} ms`)
    t.diagnostic(`all ended after ${Math.round(tookMs)} ms`)
    proxy.pass()
    t.diagnostic(`served ${await recovery()} ms after packets passed`)
  })

  test('no free connection: 503 soon, the process stays healthy, and it recovers', async (t) => {
    await asAdmin(
      'alter role app connection limit 0',
      `select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'`,
    )
    const startedMs = performance.now()
    const replies = await Promise.all([orders(), orders(), place(randomUUID()), orders()])
    t.diagnostic(`refused after ${Math.round(performance.now() - startedMs)} ms`)
    for (const reply of replies) assertUnavailable(reply)
    await assertAlive()
    const ready = await client.send(`${server.url}/health/ready`)
    assert.equal(ready.status, 503)
    assert.deepEqual(JSON.parse(ready.text), {
      status: 'unavailable',
      parts: { database: 'unavailable' },
    })
    await asAdmin('alter role app connection limit -1')
    t.diagnostic(`served ${await recovery()} ms after there was room`)
    assert.equal((await client.send(`${server.url}/health/ready`)).status, 200)
  })

  test('a lock that somebody holds: 503 for who needs it, and other routes do not notice', async () => {
    const app = postgres(database.url.replace(/[^/]+$/, 'app'), { max: 1 })
    const key = randomUUID()
    await app.begin(async (sql) => {
      await sql`lock table orders in exclusive mode`
      const waiting = place(key)
      assert.equal((await get('/auth/profile')).status, 200)
      assert.equal((await orders()).status, 200)
      assertUnavailable(await waiting)
    })
    await app.end()
    assert.equal((await place(key)).status, 201)
  })

  test('the log of all this names no person and shows no statement with values', () => {
    const log = server.stdout() + server.stderr()
    assert.match(log, /"level":/)
    assert.doesNotMatch(log, /19\.99|Bearer|app:app@/)
    for (const line of log.split('\n')) if (line.startsWith('{')) JSON.parse(line)
    assert.doesNotMatch(log, /uncaught exception/)
  })
})
