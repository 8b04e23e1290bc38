import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Sql } from 'postgres'
import { describeLimitStore, ruleOf } from './limit-store.contract.ts'
import { createPostgresLimitStore } from './postgres-limit-store.ts'
import { openTestSchema, until } from './testing/services.ts'

describeLimitStore('PostgreSQL', async () => {
  const { pools, drop } = await openTestSchema(2)
  const [store, otherNode] = pools.map((sql) => createPostgresLimitStore({ sql }))
  assert.ok(store !== undefined && otherNode !== undefined)
  return { store, otherNode, until, nowMs: () => performance.now(), close: drop }
})

describe('PostgreSQL limit store', () => {
  let schema: Awaited<ReturnType<typeof openTestSchema>>
  let sql: Sql
  before(async () => {
    schema = await openTestSchema(1)
    const [pool] = schema.pools
    assert.ok(pool !== undefined)
    sql = pool
  })
  after(async () => schema.drop())

  test('the table is unlogged', async () => {
    const [table] =
      await sql`select relpersistence from pg_class where oid = 'rate_limits'::regclass`
    assert.equal(table?.relpersistence, 'u')
  })

  test('the key cannot be read in the table', async () => {
    const store = createPostgresLimitStore({ sql })
    await store.take('maria@example.com', ruleOf(1, 60))
    const rows = await sql`select key from rate_limits`
    assert.ok(rows.length > 0)
    assert.ok(rows.every(({ key }) => !String(key).includes('maria')))
  })

  test('a count stays when the work it guards is rolled back', async () => {
    const store = createPostgresLimitStore({ sql })
    const rule = ruleOf(1, 60)
    const work = sql.begin(async () => {
      await store.take('a', rule)
      throw new RangeError('the work failed')
    })
    await assert.rejects(work, RangeError)
    assert.equal((await store.take('a', rule)).allowed, false)
  })

  test('housekeeping removes every ended window and no live one', async () => {
    const store = createPostgresLimitStore({ sql })
    const live = ruleOf(1, 3600)
    await store.take('a', live)
    await sql`
      insert into rate_limits (key, window_ends_at, hits, allowed)
      select 'ended:' || n, now() - interval '1 second', 1, true from generate_series(1, 12000) n
    `
    const [{ kept } = { kept: 0 }] = await sql<{ kept: number }[]>`
      select count(*)::integer as kept from rate_limits where key not like 'ended:%'
    `
    assert.equal(await store.deleteExpired(), 12_000)
    assert.equal(await store.deleteExpired(), 0)
    const [{ left } = { left: 0 }] = await sql<{ left: number }[]>`
      select count(*)::integer as left from rate_limits
    `
    assert.equal(left, kept)
    assert.equal((await store.take('a', live)).allowed, false)
  })

  test('a key counts right while housekeeping removes its ended windows', async () => {
    const store = createPostgresLimitStore({ sql })
    for (let round = 0; round < 20; round += 1) {
      const rule = ruleOf(5, 60)
      await store.take('a', rule, 5)
      await sql`update rate_limits set window_ends_at = now() where key like ${`${rule.name}:%`}`
      const takes = Array.from({ length: 10 }, async () => store.take('a', rule))
      const [results] = await Promise.all([Promise.all(takes), store.deleteExpired()])
      assert.equal(results.filter(({ allowed }) => allowed).length, 5)
    }
  })
})
