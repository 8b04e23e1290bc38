import { createHash, randomUUID } from 'node:crypto'
import postgres from 'postgres'
import { type Database, type DatabaseOptions, connectDatabase } from '../database/connect.ts'
import {
  loadMigrations,
  migrate,
  type Migration,
  type MigrationSource,
} from '../database/migrate.ts'
import { platformMigrations } from '../database/platform-migrations.ts'

/** A database of a test's own, with the tables of the given features. */
export interface TestDatabase extends Database {
  readonly url: string
}

/**
 * Clones a template that holds the migrated tables, which takes about 25 ms, and connects to the
 * clone. `close` drops it. The server is the one that `TEST_DATABASE_URL` names; `npm test` sets it.
 */
export async function createTestDatabase(
  features: readonly MigrationSource[] = [],
  options: Omit<DatabaseOptions, 'url'> = {},
): Promise<TestDatabase> {
  const migrations = await loadMigrations([platformMigrations, ...features])
  const template = await ensureTemplate(migrations)
  const name = `qs_test_${randomUUID().replaceAll('-', '')}`
  await asAdmin((admin) => admin.unsafe(`create database ${name} template ${template}`))
  const url = urlOf(name)
  const database = connectDatabase({ poolSize: 4, ...options, url })
  return {
    ...database,
    url,
    async close() {
      await database.close()
      await asAdmin((admin) => admin.unsafe(`drop database ${name} with (force)`))
    },
  }
}

/** Makes the template for these migrations unless there is one; suites and runs share it. */
async function ensureTemplate(migrations: readonly Migration[]): Promise<string> {
  const hash = createHash('sha256')
  for (const each of migrations) hash.update(`${each.feature}/${each.name} ${each.checksum}\n`)
  const name = `qs_template_${hash.digest('hex').slice(0, 24)}`
  return asAdmin(async (admin) => {
    await admin`select pg_advisory_lock(hashtextextended(${name}, 0))`
    const [found] = await admin`select 1 from pg_database where datname = ${name}`
    if (!found) {
      // Only a template that was migrated to the end gets its final name.
      const draft = `${name}_draft`
      await admin.unsafe(`drop database if exists ${draft} with (force)`)
      await admin.unsafe(`create database ${draft}`)
      await migrate(urlOf(draft), migrations)
      await admin.unsafe(`alter database ${draft} rename to ${name}`)
    }
    return name
  })
}

async function asAdmin<T>(work: (admin: postgres.Sql) => Promise<T>): Promise<T> {
  const admin = postgres(adminUrl(), { max: 1, onnotice: () => {} })
  try {
    return await work(admin)
  } finally {
    await admin.end()
  }
}

function urlOf(database: string): string {
  const url = new URL(adminUrl())
  url.pathname = `/${database}`
  return url.href
}

function adminUrl(): string {
  const url = process.env['TEST_DATABASE_URL']
  if (!url)
    throw new Error('TEST_DATABASE_URL is not set. `npm test` starts a PostgreSQL and sets it.')
  return url
}
