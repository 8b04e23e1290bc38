import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { pathToFileURL } from 'node:url'
import postgres from 'postgres'
import { createTestDatabase } from '../testing/test-database.ts'
import { assertUsable, checkMigrations, loadMigrations, migrate } from './migrate.ts'

type Files = Readonly<Record<string, string>>

/** A folder with these migrations, as a feature has one. */
async function folderOf(t: TestContext, files: Files): Promise<URL> {
  const folder = await mkdtemp(join(tmpdir(), 'quayside-migrations-'))
  t.after(() => rm(folder, { recursive: true }))
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
  return pathToFileURL(`${folder}/`)
}

const load = async (t: TestContext, files: Files, name = 'shop') =>
  loadMigrations([{ name, migrations: await folderOf(t, files) }])

/** A database without any table, and a look into it. */
async function emptyDatabase(t: TestContext) {
  const db = await createTestDatabase()
  await db.sql.unsafe('drop schema public cascade; create schema public')
  t.after(() => db.close())
  const column = async (rows: PromiseLike<readonly postgres.Row[]>) =>
    (await rows).map((row) => row['name'] as string)
  return {
    url: db.url,
    sql: db.sql,
    tables: () =>
      column(db.sql`
        select table_name as name from information_schema.tables
        where table_schema = 'public' and table_name <> 'quayside_migrations' order by 1`),
    recorded: () =>
      column(db.sql`
        select feature || '/' || name as name from quayside_migrations order by applied_at, 1`),
  }
}

const files = {
  '0001-shelves.sql': 'create table shelves (id int);',
  '0002-books.sql': 'create table books (id int); insert into books values (1), (2);',
}

describe('migrating', { timeout: 60_000, concurrency: 3 }, () => {
  test('applies what is pending in the order of the names, once', async (t) => {
    const db = await emptyDatabase(t)
    const migrations = await load(t, files)
    const seen: string[] = []
    const onApply = ({ name }: { name: string }) => void seen.push(name)
    const first = await migrate(db.url, migrations, { onApply })
    assert.deepEqual(seen, Object.keys(files))
    assert.deepEqual(first, migrations)
    assert.deepEqual(await migrate(db.url, migrations, { onApply }), [])
    assert.deepEqual(seen, Object.keys(files))
    assert.deepEqual(await db.tables(), ['books', 'shelves'])
    assert.deepEqual(await db.recorded(), ['shop/0001-shelves.sql', 'shop/0002-books.sql'])
  })

  test('adds what has come since', async (t) => {
    const db = await emptyDatabase(t)
    await migrate(db.url, await load(t, { '0001-shelves.sql': files['0001-shelves.sql'] }))
    const migrations = await load(t, files)
    const { pending } = await checkMigrations(db.url, migrations)
    assert.deepEqual(
      pending.map(({ name }) => name),
      ['0002-books.sql'],
    )
    await migrate(db.url, migrations)
    assert.deepEqual(await db.tables(), ['books', 'shelves'])
  })

  test('looking changes nothing', async (t) => {
    const db = await emptyDatabase(t)
    const { pending, edited, unknown } = await checkMigrations(db.url, await load(t, files))
    assert.equal(pending.length, 2)
    assert.deepEqual([edited, unknown], [[], []])
    const [table] = await db.sql`select to_regclass('quayside_migrations') is null as missing`
    assert.equal(table?.['missing'], true)
  })

  test('one that fails is named, leaves nothing of itself, and does not stop those before it', async (t) => {
    const db = await emptyDatabase(t)
    const broken = { ...files, '0003-broken.sql': 'create table half (id int); select 1 / 0;' }
    await assert.rejects(migrate(db.url, await load(t, broken)), (error) => {
      assert(error instanceof Error && error.cause instanceof postgres.PostgresError)
      assert.match(error.message, /shop\/0003-broken\.sql/)
      assert.equal(error.cause.code, '22012')
      return true
    })
    assert.deepEqual(await db.tables(), ['books', 'shelves'])
    await migrate(db.url, await load(t, { ...files, '0003-broken.sql': 'select 1;' }))
    assert.equal((await db.recorded()).length, 3)
  })

  test('an edited migration is refused by name, before anything is applied', async (t) => {
    const db = await emptyDatabase(t)
    await migrate(db.url, await load(t, { '0001-shelves.sql': files['0001-shelves.sql'] }))
    const edited = { ...files, '0001-shelves.sql': 'create table shelves (id bigint);' }
    const migrations = await load(t, edited)
    await assert.rejects(migrate(db.url, migrations), /shop\/0001-shelves\.sql was edited/)
    assert.deepEqual(await db.tables(), ['shelves'])
    const state = await checkMigrations(db.url, migrations)
    assert.throws(() => assertUsable(state), /shop\/0001-shelves\.sql was edited/)
  })

  test('other line ends are no edit', async (t) => {
    const db = await emptyDatabase(t)
    const text = 'create table lines (\n  id int\n);\n'
    await migrate(db.url, await load(t, { '0001-lines.sql': text }))
    const windows = await load(t, { '0001-lines.sql': text.replaceAll('\n', '\r\n') })
    assert.deepEqual(await migrate(db.url, windows), [])
  })

  test('a database that is newer than the code is refused by name', async (t) => {
    const db = await emptyDatabase(t)
    await migrate(db.url, await load(t, files))
    const older = await load(t, { '0001-shelves.sql': files['0001-shelves.sql'] })
    await assert.rejects(migrate(db.url, older), /shop\/0002-books\.sql is in the database but not/)
  })

  test('a feature that was taken out leaves its tables behind, and that is no conflict', async (t) => {
    const db = await emptyDatabase(t)
    const shop = await load(t, files)
    const other = await load(t, { '0001-other.sql': 'create table other (id int);' }, 'other')
    await migrate(db.url, [...shop, ...other])
    assert.deepEqual(await migrate(db.url, other), [])
    assert.deepEqual(await db.tables(), ['books', 'other', 'shelves'])
  })

  for (const name of ['1-short.sql', '0001_underscore.sql', '0001-Capital.sql', 'notes.sql'])
    test(`a file named ${name} is refused, because its place would be anybody's guess`, async (t) => {
      await assert.rejects(load(t, { [name]: 'select 1;' }), (error) => {
        assert(error instanceof Error)
        return error.message.includes(`shop/${name}`) && error.message.includes('0001-name.sql')
      })
    })

  test('what is no SQL file is left alone', async (t) => {
    assert.deepEqual(await load(t, { 'README.md': 'about these', '0001-a.sql~': 'x' }), [])
    assert.deepEqual(await loadMigrations([{ name: 'without', migrations: undefined }]), [])
  })
})

const moduleUrl = new URL('migrate.ts', import.meta.url).href

/** Another process that migrates, as a server does that starts. */
function startMigrator(url: string, folder: URL): ChildProcess {
  const script = `
    import { loadMigrations, migrate } from ${JSON.stringify(moduleUrl)}
    const [url, folder] = process.argv.slice(1)
    const migrations = await loadMigrations([{ name: 'shop', migrations: new URL(folder) }])
    const done = await migrate(url, migrations)
    console.log(done.length)`
  return spawn(process.execPath, ['--input-type=module', '-e', script, url, folder.href], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

async function outcome(child: ChildProcess): Promise<{ code: number | null; text: string }> {
  let text = ''
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, text: text.trim() }
}

describe('migrating by several processes', { timeout: 60_000, concurrency: 2 }, () => {
  test('eight that start at once on an empty database apply each file exactly once', async (t) => {
    const db = await emptyDatabase(t)
    const folder = await folderOf(t, {
      ...files,
      // Long enough for the others to arrive while it runs.
      '0003-slow.sql': 'select pg_sleep(0.5); create table slow (id int);',
    })
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, () => outcome(startMigrator(db.url, folder))),
    )
    assert.deepEqual(
      outcomes.map(({ code }) => code),
      Array.from({ length: 8 }, () => 0),
    )
    assert.deepEqual(outcomes.map(({ text }) => text).toSorted(), [
      ...Array.from({ length: 7 }, () => '0'),
      '3',
    ])
    assert.deepEqual(await db.tables(), ['books', 'shelves', 'slow'])
    assert.equal((await db.sql`select 1 from books`).length, 2)
    assert.equal((await db.recorded()).length, 3)
  })

  test('one that is killed in the middle leaves no half schema, and the next one completes it', async (t) => {
    const db = await emptyDatabase(t)
    const folder = await folderOf(t, {
      ...files,
      '0003-long.sql':
        'create table first_half (id int); select pg_sleep(1); create table second_half (id int);',
    })
    const killed = startMigrator(db.url, folder)
    t.after(() => killed.kill('SIGKILL'))
    const exited = once(killed, 'exit')
    for (;;) {
      const sleeping = await db.sql`
        select 1 from pg_stat_activity where datname = current_database()
          and wait_event = 'PgSleep'`
      if (sleeping.length > 0) break
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    killed.kill('SIGKILL')
    await exited
    assert.deepEqual(await db.tables(), ['books', 'shelves'])
    const next = await outcome(startMigrator(db.url, folder))
    assert.deepEqual(next, { code: 0, text: '1' })
    assert.deepEqual(await db.tables(), ['books', 'first_half', 'second_half', 'shelves'])
    assert.deepEqual(await db.recorded(), [
      'shop/0001-shelves.sql',
      'shop/0002-books.sql',
      'shop/0003-long.sql',
    ])
  })
})
