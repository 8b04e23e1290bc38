import assert from 'node:assert/strict'
import { after, before, describe, test, type TestContext } from 'node:test'
import postgres from 'postgres'
import { createTestDatabase, type TestDatabase } from '../testing/test-database.ts'
import { connectDatabase, type Database, type DatabaseOptions } from './connect.ts'
import { createOwnPostgres, type OwnPostgres } from './testing/own-postgres.ts'
import { createTcpProxy } from './testing/tcp-proxy.ts'
import { isDatabaseUnavailable } from './unavailable.ts'

describe('values', () => {
  let db: TestDatabase
  before(async () => {
    db = await createTestDatabase()
  })
  after(() => db.close())

  const value = async (expression: string): Promise<unknown> => {
    const [row] = await db.sql.unsafe(`select ${expression} as value`, [], { prepare: true })
    return row?.['value']
  }

  for (const [expression, expected] of [
    [`timestamptz '2026-11-20 13:00:00.123+01'`, '2026-11-20T12:00:00.123Z'],
    [`timestamptz '2026-11-20 12:00:00Z'`, '2026-11-20T12:00:00.000Z'],
    [`timestamptz '2026-11-20 12:00:00.123999Z'`, '2026-11-20T12:00:00.123Z'],
    [`timestamp '2026-11-20 12:00:00.5'`, '2026-11-20T12:00:00.500Z'],
    [`date '2026-03-29'`, '2026-03-29'],
    [`timestamptz 'infinity'`, 'infinity'],
    [`null::timestamptz`, null],
    [`null::text`, null],
    [`19.99::numeric(12, 2)`, '19.99'],
    [`0.1::numeric + 0.2::numeric`, '0.3'],
    [`9999999999999999.99::numeric`, '9999999999999999.99'],
    [`9223372036854775807::bigint`, '9223372036854775807'],
    [`'{"a":[1,null]}'::jsonb`, { a: [1, null] }],
    [`array['a', '', 'b"c']`, ['a', '', 'b"c']],
    [`array[timestamptz '2026-11-20 12:00:00.5Z']`, ['2026-11-20T12:00:00.500Z']],
  ] as const)
    test(`${expression} comes back as ${JSON.stringify(expected)}`, async () => {
      assert.deepEqual(await value(expression), expected)
    })

  test('what is written is read back, to the millisecond and to the last digit', async () => {
    await db.sql`create table kept (at timestamptz(3), day date, price numeric(12, 2), note text)`
    const written = {
      at: '2026-11-20T12:00:00.123Z',
      day: '2028-02-29',
      price: '0.30',
      note: 'e\u0301 \u{1f9ea} \u202e "\\',
    }
    await db.sql`insert into kept ${db.sql(written)}`
    await db.sql`insert into kept (at, price) values (${new Date(written.at)}, ${'19.99'})`
    assert.deepEqual(
      [...(await db.sql`select * from kept`)],
      [written, { at: written.at, day: null, price: '19.99', note: null }],
    )
    const found = await db.sql`select 1 from kept where at = ${written.at} and price = ${'0.3'}`
    assert.equal(found.length, 1)
  })

  test('a session speaks UTC and carries the limits that were asked for', async (t) => {
    const other = connectDatabase({
      url: db.url,
      statementTimeoutMs: 1_234,
      lockTimeoutMs: 567,
      applicationName: 'a test',
    })
    t.after(() => other.close())
    const [row] = await other.sql`
      select current_setting('TimeZone') as zone, current_setting('statement_timeout') as statement,
        current_setting('lock_timeout') as lock, current_setting('application_name') as name,
        current_setting('idle_in_transaction_session_timeout') as idle`
    assert.deepEqual(row, {
      zone: 'UTC',
      statement: '1234ms',
      lock: '567ms',
      name: 'a test',
      idle: '30s',
    })
  })
})

/** The rejection of a query that the database could not serve just then. */
async function assertUnavailable(query: PromiseLike<unknown>): Promise<void> {
  const error = await query.then(
    () => assert.fail('it was served'),
    (thrown: unknown) => thrown,
  )
  assert(isDatabaseUnavailable(error), String(error))
}

/** Tries until it is served; the limit of the test ends one that never is. */
async function untilServed(db: Database): Promise<void> {
  for (;;) {
    const served = await db.sql`select 1`.then(
      () => true,
      () => false,
    )
    if (served) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

describe('a database in trouble', { timeout: 60_000 }, () => {
  let server: OwnPostgres
  before(async () => {
    server = await createOwnPostgres({
      settings: { max_connections: '12', listen_addresses: '127.0.0.1, ::1' },
    })
  })
  after(() => server.remove())

  const connect = (t: TestContext, options: Partial<DatabaseOptions> = {}) => {
    const db = connectDatabase({ url: server.url, poolSize: 3, ...options })
    t.after(() => db.close())
    return db
  }
  const through = (port: number) => server.url.replace(`:${server.port}/`, `:${port}/`)

  test('an IPv6 address and a name with escapes are understood', async (t) => {
    const db = connect(t)
    await db.sql`create database "a name/with 100%"`
    const url = new URL(server.url)
    url.hostname = '[::1]'
    url.pathname = `/${encodeURIComponent('a name/with 100%')}`
    const other = connect(t, { url: url.href })
    const [row] = await other.sql`
      select current_database() as name, family(inet_server_addr()) as family`
    assert.deepEqual(row, { name: 'a name/with 100%', family: 6 })
  })

  test('a statement that takes too long is ended by the server, and the connection serves on', async (t) => {
    const db = connect(t, { poolSize: 1, statementTimeoutMs: 100 })
    await assertUnavailable(db.sql`select pg_sleep(30)`)
    await db.sql`select 1`
    assert.equal(db.poolStats().open, 1)
  })

  test('a lock that is held too long fails the one who waits, and nobody else', async (t) => {
    const db = connect(t, { lockTimeoutMs: 100 })
    await db.sql`create table if not exists locked (id int)`
    await db.transaction(async () => {
      await db.sql`lock table locked`
      await assertUnavailable(db.poolSql`select * from locked`)
      await db.poolSql`select 1`
    })
    await db.poolSql`select * from locked`
  })

  for (const how of ['fast', 'immediate'] as const)
    test(`after a restart (${how}) the pool serves again`, async (t) => {
      const db = connect(t)
      await Promise.all([1, 2, 3].map(() => db.sql`select pg_sleep(0.01)`))
      const running = [1, 2, 3].map(() => assertUnavailable(db.sql`select pg_sleep(30)`))
      // A round trip on a connection of its own: the statements before it have arrived.
      await waitForSleepers(server.url, 3)
      await server.stop(how)
      await Promise.all(running)
      await assertUnavailable(db.sql`select 1`)
      await server.start()
      await untilServed(db)
      await Promise.all([1, 2, 3, 4, 5].map(() => untilServed(db)))
      assert.equal(await db.transaction(async () => 'works'), 'works')
    })

  test('no free connection slot is unavailable at once, and mends itself', async (t) => {
    const db = connect(t)
    const hogs = postgres(server.url, { max: 12, connection: { application_name: 'hog' } })
    const held = await Promise.all(
      Array.from({ length: 12 }, () => hogs.reserve().catch(() => undefined)),
    )
    await assertUnavailable(db.sql`select 1`)
    for (const each of held) each?.release()
    await hogs.end({ timeout: 0 })
    await untilServed(db)
  })

  describe('that nobody hears from', { concurrency: true }, () => {
    test('packets that vanish end the query soon after its time is up, and the pool recovers', async (t) => {
      const proxy = await createTcpProxy(server.port)
      const db = connect(t, { url: through(proxy.port), statementTimeoutMs: 300 })
      t.after(() => proxy.close())
      await Promise.all([1, 2, 3].map(() => db.sql`select pg_sleep(0.01)`))
      proxy.swallow()
      await Promise.all([
        assertUnavailable(db.sql`select 1`),
        assertUnavailable(db.transaction(async () => db.sql`select 1`)),
        assertUnavailable(db.sql`select 2`),
      ])
      proxy.pass()
      await untilServed(db)
    })

    test('they do so under a load that never stops writing, too', async (t) => {
      const proxy = await createTcpProxy(server.port)
      const db = connect(t, { url: through(proxy.port), poolSize: 1, statementTimeoutMs: 300 })
      t.after(() => proxy.close())
      await db.sql`select 1`
      proxy.swallow()
      const first = assertUnavailable(db.sql`select 1`)
      const later: Promise<unknown>[] = []
      const load = setInterval(() => later.push(db.sql`select 1`.catch(() => undefined)), 20)
      await first
      clearInterval(load)
      proxy.pass()
      await Promise.all(later)
      await untilServed(db)
    })

    test('they do so in the middle of a transaction, right after an answer', async (t) => {
      const proxy = await createTcpProxy(server.port)
      const db = connect(t, { url: through(proxy.port), poolSize: 1, statementTimeoutMs: 300 })
      t.after(() => proxy.close())
      await db.sql`select 1`
      await assertUnavailable(
        db.transaction(async () => {
          await db.sql`select 1`
          proxy.swallow()
          await db.sql`select 2`
        }),
      )
      proxy.pass()
      await untilServed(db)
    })

    test('an idle connection is left alone, however long it hears nothing', async (t) => {
      const db = connect(t, { poolSize: 1, statementTimeoutMs: 100 })
      const pid = async () => (await db.sql`select pg_backend_pid() as pid`)[0]?.['pid'] as unknown
      const first = await pid()
      await new Promise((resolve) => setTimeout(resolve, 1_500))
      assert.equal(await pid(), first)
    })
  })

  test('one who accepts and hangs up is unavailable, not asked for ever', async (t) => {
    const proxy = await createTcpProxy(server.port)
    t.after(() => proxy.close())
    proxy.hangUp()
    const db = connect(t, { url: through(proxy.port) })
    await assertUnavailable(db.sql`select 1`)
    proxy.pass()
    await untilServed(db)
  })

  test('the pool never opens more connections than it may, and none after it is closed', async () => {
    const proxy = await createTcpProxy(server.port)
    const db = connectDatabase({ url: through(proxy.port), poolSize: 3 })
    assert.deepEqual(db.poolStats(), { open: 0, max: 3 })
    await Promise.all(Array.from({ length: 20 }, () => db.sql`select pg_sleep(0.005)`))
    assert.deepEqual(db.poolStats(), { open: 3, max: 3 })
    assert.equal(proxy.connections(), 3)
    await db.close()
    assert.deepEqual(db.poolStats(), { open: 0, max: 3 })
    await assertUnavailable(db.sql`select 1`)
    await proxy.close()
  })
})

async function waitForSleepers(url: string, count: number): Promise<void> {
  const sql = postgres(url, { max: 1 })
  for (;;) {
    const [row] = await sql`
      select count(*)::int as count from pg_stat_activity where query like '%pg_sleep(30)%'
        and pid <> pg_backend_pid() and state = 'active'`
    if (row?.['count'] === count) break
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await sql.end()
}
