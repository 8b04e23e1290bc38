import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import postgres from 'postgres'

export interface TestDatabase extends AsyncDisposable {
  readonly url: string
  /** Rows of every table that a request may write to, by table. */
  countRows(): Promise<Record<string, number>>
  /** Does `work` and asserts that no row came or went. */
  assertUntouched(work: () => Promise<void>): Promise<void>
}

/** Makes an empty database in the PostgreSQL that `run.ts` found or started; disposing drops it. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const adminUrl = process.env['TEST_DATABASE_URL']
  if (adminUrl === undefined) throw new Error('Start these tests with e2e/run.ts.')
  const name = `quayside_e2e_${randomUUID().slice(0, 8)}`
  await withAdmin(adminUrl, (admin) => admin`create database ${admin(name)}`)
  const url = new URL(adminUrl)
  url.pathname = `/${name}`
  const sql = postgres(url.href, { max: 1, onnotice: () => {} })
  async function countRows() {
    const counts = await sql<{ table: string; rows: number }[]>`
      select 'users' as "table", count(*)::int as "rows" from users
      union all select 'identities', count(*)::int from identities
      union all select 'orders', count(*)::int from orders
      union all select 'profiles', count(*)::int from profiles
      union all select 'idempotency_keys', count(*)::int from idempotency_keys`
    return Object.fromEntries(counts.map(({ table, rows }) => [table, rows]))
  }

  return {
    url: url.href,
    countRows,
    async assertUntouched(work) {
      const earlier = await countRows()
      await work()
      assert.deepEqual(await countRows(), earlier)
    },
    async [Symbol.asyncDispose]() {
      await sql.end()
      await withAdmin(adminUrl, (admin) => admin`drop database ${admin(name)} with (force)`)
    },
  }
}

async function withAdmin(url: string, work: (admin: postgres.Sql) => Promise<unknown>) {
  const admin = postgres(url, { max: 1, onnotice: () => {} })
  try {
    await work(admin)
  } finally {
    await admin.end()
  }
}
