import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import postgres from 'postgres'
import { driverOptions } from './driver-options.ts'

/** A named folder of plain SQL files, `0001-orders.sql` and so on, applied in order of their names. */
export interface MigrationSource {
  readonly name: string
  readonly migrations?: URL | undefined
}

export interface Migration {
  readonly feature: string
  readonly name: string
  readonly checksum: string
  readonly statements: string
}

/** How the database stands against the code. Only `pending` can be mended by migrating. */
export interface MigrationState {
  readonly pending: readonly Migration[]
  /** Applied once, changed in the code since. */
  readonly edited: readonly string[]
  /** In the database, of a feature that the code has, but not in the code: the database is newer. */
  readonly unknown: readonly string[]
}

/** Reads every migration of the sources, in the order in which they are applied. */
export async function loadMigrations(sources: readonly MigrationSource[]): Promise<Migration[]> {
  const loaded = await Promise.all(
    sources.map(async ({ name: feature, migrations: folder }) => {
      if (!folder) return []
      const files = (await readdir(folder)).filter((file) => file.endsWith('.sql')).toSorted()
      return Promise.all(
        files.map(async (file): Promise<Migration> => {
          if (!/^\d{4}-[a-z0-9-]+\.sql$/.test(file))
            throw new Error(`Migration ${feature}/${file} must be named like 0001-name.sql.`)
          const statements = await readFile(new URL(file, folder), 'utf8')
          return { feature, name: file, statements, checksum: checksumOf(statements) }
        }),
      )
    }),
  )
  return loaded.flat()
}

/** Compares the database with the code and changes nothing. */
export async function checkMigrations(
  url: string,
  migrations: readonly Migration[],
  options: MigrateOptions = {},
): Promise<MigrationState> {
  return withConnection(url, options, async (sql) => compare(await applied(sql), migrations))
}

export interface MigrateOptions {
  /** File with the certificate authorities to trust; turns TLS on. */
  readonly caFile?: string | undefined
  readonly onApply?: (migration: Migration) => void
}

/**
 * Applies what is pending, each file in a transaction of its own together with its record, so a
 * process killed at any moment leaves whole migrations only. An advisory lock makes instances
 * that start together take turns. Refuses an edited migration and a database that is newer than
 * the code.
 */
export async function migrate(
  url: string,
  migrations: readonly Migration[],
  options: MigrateOptions = {},
): Promise<readonly Migration[]> {
  return withConnection(url, options, async (sql) => {
    await sql`select pg_advisory_lock(${migrationLock})`
    const state = compare(await applied(sql), migrations)
    assertUsable(state)
    await sql`
      create table if not exists quayside_migrations (
        feature text not null,
        name text not null,
        checksum text not null,
        applied_at timestamptz not null default now(),
        constraint quayside_migrations_pkey primary key (feature, name)
      )`
    for (const migration of state.pending) {
      await apply(sql, migration)
      options.onApply?.(migration)
    }
    return state.pending
  })
}

/** Throws, naming each file, when migrating cannot or must not mend the difference. */
export function assertUsable({ edited, unknown }: MigrationState): void {
  const problems = [
    ...edited.map((name) => `${name} was edited after it had been applied`),
    ...unknown.map((name) => `${name} is in the database but not in this version of the code`),
  ]
  if (problems.length > 0) throw new Error(`The database does not fit: ${problems.join('; ')}.`)
}

// Any number will do as long as nobody else takes it: "quay" in ASCII.
const migrationLock = 0x71756179

async function withConnection<T>(
  url: string,
  { caFile }: MigrateOptions,
  work: (sql: postgres.Sql) => Promise<T>,
): Promise<T> {
  const sql = postgres(url, {
    max: 1,
    // The lock is the connection's: a fresh one in between would not hold it.
    max_lifetime: null,
    onnotice: () => {},
    ...driverOptions({ url, caFile }).options,
    // A large index may take hours; waiting for another instance's migration may too.
    connection: { application_name: 'quayside-migrate', statement_timeout: 0, lock_timeout: 0 },
  })
  try {
    return await work(sql)
  } finally {
    await sql.end({ timeout: 5 })
  }
}

async function applied(sql: postgres.Sql): Promise<Map<string, string>> {
  const [table] = await sql`select to_regclass('quayside_migrations') as name`
  if (!table?.['name']) return new Map()
  const rows = await sql<{ feature: string; name: string; checksum: string }[]>`
    select feature, name, checksum from quayside_migrations`
  return new Map(rows.map((row) => [`${row.feature}/${row.name}`, row.checksum]))
}

function compare(
  done: ReadonlyMap<string, string>,
  migrations: readonly Migration[],
): MigrationState {
  const byKey = new Map(migrations.map((each) => [`${each.feature}/${each.name}`, each]))
  const features = new Set(migrations.map((each) => each.feature))
  const changed = [...done].filter(([key, checksum]) => {
    const known = byKey.get(key)
    return known !== undefined && known.checksum !== checksum
  })
  return {
    pending: migrations.filter((each) => !done.has(`${each.feature}/${each.name}`)),
    edited: changed.map(([key]) => key),
    // A feature that a team took out of its list leaves its tables behind; that is no conflict.
    unknown: [...done.keys()].filter(
      (key) => !byKey.has(key) && features.has(key.slice(0, key.indexOf('/'))),
    ),
  }
}

async function apply(sql: postgres.Sql, migration: Migration): Promise<void> {
  try {
    await sql.begin(async (tx) => {
      await tx.unsafe(migration.statements)
      await tx`
        insert into quayside_migrations (feature, name, checksum)
        values (${migration.feature}, ${migration.name}, ${migration.checksum})`
    })
  } catch (error) {
    throw new Error(`Migration ${migration.feature}/${migration.name} failed.`, { cause: error })
  }
}

// Git may check files out with other line ends; that is no edit.
function checksumOf(statements: string): string {
  return createHash('sha256').update(statements.replaceAll('\r\n', '\n')).digest('hex')
}
