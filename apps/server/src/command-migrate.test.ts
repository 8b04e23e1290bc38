import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { createTestDatabase } from '@quayside/platform/testing'
import { runProgram } from './testing/server-process.ts'

async function migrateCommand(t: TestContext, url: string, ...args: string[]) {
  const program = runProgram(t, 'commands/migrate.ts', { env: { DATABASE_URL: url }, args })
  return { code: await program.exit, stdout: program.stdout(), stderr: program.stderr() }
}

describe('npm run migrate', { timeout: 60_000, concurrency: 3 }, () => {
  test('applies what is pending; with --check it only looks, and its exit code tells', async (t) => {
    const db = await createTestDatabase()
    t.after(() => db.close())
    await db.sql.unsafe('drop schema public cascade; create schema public')

    const pending = await migrateCommand(t, db.url, '--check')
    assert.equal(pending.code, 1)
    const files = pending.stdout.trim().split('\n')
    assert(files.includes('pending platform/0001-platform.sql'))
    assert(files.includes('pending identity/0001-users.sql'))
    assert(files.includes('pending orders/0001-orders.sql'))
    const [untouched] = await db.sql`select to_regclass('quayside_migrations') is null as missing`
    assert.equal(untouched?.['missing'], true)

    const applied = await migrateCommand(t, db.url)
    assert.equal(applied.code, 0)
    assert.deepEqual(applied.stdout.trim().split('\n'), [
      ...files.map((line) => line.replace('pending', 'applied')),
      `Applied ${files.length}.`,
    ])
    assert.deepEqual(await migrateCommand(t, db.url, '--check'), {
      code: 0,
      stdout: '',
      stderr: '',
    })
    assert.equal((await migrateCommand(t, db.url)).stdout, 'Nothing to apply.\n')

    await db.sql`update quayside_migrations set checksum = 'other' where feature = 'orders'`
    for (const args of [['--check'], []]) {
      const edited = await migrateCommand(t, db.url, ...args)
      assert.equal(edited.code, 1)
      assert.match(edited.stderr, /^The database does not fit: orders\/0001-orders\.sql was edited/)
      assert.doesNotMatch(edited.stderr, /^\s+at /m)
    }
  })

  test('a flag that it does not know is refused, not ignored', async (t) => {
    const db = await createTestDatabase()
    t.after(() => db.close())
    await db.sql.unsafe('drop schema public cascade; create schema public')
    for (const args of [['--chek'], ['check']]) {
      const refused = await migrateCommand(t, db.url, ...args)
      assert.equal(refused.code, 2, args.join(' '))
      assert.match(refused.stderr, /npm run migrate/)
    }
    const [untouched] = await db.sql`select to_regclass('quayside_migrations') is null as missing`
    assert.equal(untouched?.['missing'], true)
  })

  test('a wrong environment is a list, not a stack trace', async (t) => {
    const program = runProgram(t, 'commands/migrate.ts', { env: { PORT: 'x', DB_HOST: 'y' } })
    assert.equal(await program.exit, 1)
    assert.match(program.stderr(), /^- PORT: /m)
    assert.match(program.stderr(), /^- DB_HOST/m)
    assert.doesNotMatch(program.stderr(), /^\s+at /m)
  })
})
