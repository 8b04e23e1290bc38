import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, describe, test, type TestContext } from 'node:test'
import { createTestDatabase, type TestDatabase } from '@quayside/platform/testing'
import postgres from 'postgres'
import { features } from './features.ts'
import { createHttpClient, type HttpClient } from './testing/http-client.ts'
import { type ServerProcess, startServerProcess } from './testing/server-process.ts'
import { startTokenIssuer, type TokenIssuer } from './testing/token-issuer.ts'

describe('stopping', { timeout: 60_000 }, () => {
  let db: TestDatabase
  let issuer: TokenIssuer
  const cleanUps: (() => unknown)[] = []
  before(async () => {
    db = await createTestDatabase(features)
    issuer = await startTokenIssuer({ after: (work) => void cleanUps.push(work as () => unknown) })
  })
  after(async () => {
    for (const cleanUp of cleanUps) await cleanUp()
    await db.close()
  })

  const start = (t: TestContext, drainMs: number) =>
    startServerProcess(t, {
      DATABASE_URL: db.url,
      SHUTDOWN_DRAIN_MS: String(drainMs),
      ...issuer.env,
    })
  const order = (server: ServerProcess, client: HttpClient, item: string) =>
    client.send(`${server.url}/auth/orders`, {
      headers: issuer.headers('shopper'),
      body: { item, total: 1 },
    })

  test('SIGTERM under load loses no request: it says not ready at once, serves on, and ends with 0', async (t) => {
    const server = await start(t, 1_200)
    const client = createHttpClient(t)
    const load = { isOver: false }
    let afterSignal = 0
    const statuses: (number | undefined)[] = []
    const closing: (string | undefined)[] = []
    let signalled = false
    const writer = async (name: number) => {
      for (let n = 0; !load.isOver; n++) {
        const wasSignalled = signalled
        const reply = await order(server, client, `load ${name} ${n}`)
        statuses.push(reply.status)
        if (!wasSignalled) continue
        afterSignal++
        closing.push(reply.headers.connection)
      }
    }
    const writers = Array.from({ length: 8 }, (_, name) => writer(name))
    await new Promise((resolve) => setTimeout(resolve, 300))
    const beforeSignal = statuses.length
    server.child.kill('SIGTERM')
    // The signal is asynchronous; from the first refusal on the server has seen it.
    for (;;) {
      const ready = await client.send(`${server.url}/health/ready`)
      if (ready.status === 503) break
    }
    signalled = true
    assert.equal((await client.send(`${server.url}/health/live`)).status, 200)
    await new Promise((resolve) => setTimeout(resolve, 400))
    load.isOver = true
    await Promise.all(writers)
    assert.deepEqual([...new Set(statuses)], [201])
    assert(beforeSignal > 0 && afterSignal > 0)
    assert.deepEqual([...new Set(closing)], ['close'])
    assert.equal(await server.exit, 0)
    const [row] = await db.sql`select count(*)::int as count from orders where item like 'load %'`
    assert.equal(row?.count, statuses.length)
    await assert.rejects(order(server, client, 'too late'), { code: 'ECONNREFUSED' })
  })

  test('a request that is running when the server closes is answered', async (t) => {
    const server = await start(t, 0)
    const client = createHttpClient(t)
    assert.equal((await order(server, client, 'first')).status, 201)
    const blocker = postgres(db.url, { max: 1 })
    t.after(() => blocker.end())
    await blocker.begin(async (sql) => {
      await sql`lock table orders`
      const running = order(server, client, 'running')
      for (;;) {
        const waiting =
          await db.sql`select 1 from pg_locks where not granted and relation is not null
          and database = (select oid from pg_database where datname = current_database())`
        if (waiting.length > 0) break
      }
      server.child.kill('SIGTERM')
      await new Promise((resolve) => setTimeout(resolve, 300))
      await sql.unsafe('commit; begin')
      assert.equal((await running).status, 201)
    })
    assert.equal(await server.exit, 0)
  })

  describe('in spite of', { concurrency: true }, () => {
    test('clients that never finish their requests', async (t) => {
      const server = await start(t, 0)
      const { port } = new URL(server.url)
      for (const sent of [
        '',
        'GET /health/live HTTP/1.1\r\nHost: a\r\n',
        'GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n',
      ]) {
        const socket = connect(Number(port), '127.0.0.1')
        t.after(() => socket.destroy())
        socket.on('error', () => undefined)
        await new Promise<void>((resolve) => void socket.write(sent || '\r\n', () => resolve()))
      }
      await fetch(`${server.url}/health/live`)
      server.child.kill('SIGTERM')
      const patience = setTimeout(() => server.child.kill('SIGKILL'), 8_000)
      assert.equal(await server.exit, 0)
      clearTimeout(patience)
    })

    test('patience: a second signal ends it at once', async (t) => {
      const server = await start(t, 600_000)
      server.child.kill('SIGTERM')
      while ((await fetch(`${server.url}/health/ready`)).status !== 503);
      server.child.kill('SIGTERM')
      assert.equal(await server.exit, 1)
    })
  })
})
