import assert from 'node:assert/strict'
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test, type TestContext } from 'node:test'
import { createTestDatabase, type TestDatabase } from '@quayside/platform/testing'
import { runProgram, startServerProcess } from './testing/server-process.ts'

type Environment = Readonly<Record<string, string>>

async function keysCommand(t: TestContext, env: Environment, ...args: string[]) {
  const program = runProgram(t, 'commands/keys.ts', { env, args })
  return { code: await program.exit, stdout: program.stdout(), stderr: program.stderr() }
}

const dayMs = 86_400_000
const secretForm = /^qk_[0-9a-f]{32}_[A-Za-z0-9_-]{43}\n$/

describe('npm run keys', { concurrency: 2 }, () => {
  describe('on a given PostgreSQL', { timeout: 120_000, concurrency: 2 }, () => {
    let db: TestDatabase
    before(async () => {
      db = await createTestDatabase()
    })
    after(() => db.close())
    const run = (t: TestContext, ...args: string[]) =>
      keysCommand(t, { DATABASE_URL: db.url }, ...args)

    test('the secret is the only thing on standard output, and is never shown again', async (t) => {
      const made = await run(t, 'create', '--name', 'jarvis', '--scopes', 'users:write, users:read')
      assert.equal(made.code, 0)
      assert.match(made.stdout, secretForm)
      assert.equal(made.stderr.includes(made.stdout.trim()), false)
      assert.match(made.stderr, /jarvis {2}\[users:read users:write\] {2}no end {2}used never/)

      const listed = await run(t, 'list')
      assert.equal(listed.code, 0)
      assert.match(listed.stdout, /^[0-9a-f-]{36} {2}jarvis {2}/m)
      assert.doesNotMatch(listed.stdout + listed.stderr, /qk_/)
      const [stored] = await db.sql`
      select row_to_json(k)::text as row from api_keys k where name = 'jarvis'`
      assert.equal(String(stored?.['row']).includes(made.stdout.trim().slice(-43)), false)
    })

    test('a key may end by itself', async (t) => {
      const beforeMs = Date.now()
      const made = await run(t, 'create', '--name', 'brief', '--scopes', 'a:b', '--expires', '90d')
      assert.equal(made.code, 0)
      const [row] = await db.sql`select expires_at as ends from api_keys where name = 'brief'`
      const endsMs = Date.parse(String(row?.['ends']))
      assert(endsMs >= beforeMs + 90 * dayMs && endsMs <= Date.now() + 90 * dayMs)
    })

    test('a revoked key gives its name free, and cannot be revoked again', async (t) => {
      const create = () => run(t, 'create', '--name', 'rotated', '--scopes', 'a:b')
      assert.equal((await create()).code, 0)
      const taken = await create()
      assert.deepEqual([taken.code, taken.stdout], [1, ''])
      assert.match(taken.stderr, /already is a live key/)
      assert.equal((await run(t, 'revoke', 'rotated')).code, 0)
      assert.match((await run(t, 'revoke', 'rotated')).stderr, /no such live key/)
      assert.equal((await create()).code, 0)
      assert.match((await run(t, 'list')).stdout, /rotated.*revoked \d{4}-/)
    })

    test('what it cannot do is refused in a sentence, and makes no key', async (t) => {
      for (const [code, ...args] of [
        [2, 'create', '--name', 'x', '--scopes', 'a:b', '--expire', '1d'],
        [1, 'create', '--name', 'a name', '--scopes', 'a:b'],
        [1, 'create', '--name', 'x', '--scopes', 'a:b,,c:d'],
      ] as const) {
        const refused = await run(t, ...args)
        assert.deepEqual([refused.code, refused.stdout], [code, ''], args.join(' '))
        assert.notEqual(refused.stderr, '')
        assert.doesNotMatch(refused.stderr, /^\s+at /m)
      }
      assert.deepEqual(
        [...(await db.sql`select name from api_keys where name in ('x', 'a name')`)],
        [],
      )
    })
  })

  describe('on the embedded PostgreSQL', { timeout: 120_000, concurrency: 1 }, () => {
    let root: string
    before(async () => {
      root = await mkdtemp(join(tmpdir(), 'quayside-keys-'))
      await chmod(root, 0o755)
    })
    after(() => rm(root, { recursive: true, force: true, maxRetries: 5 }))

    test('works before the first start, and while the server runs', async (t) => {
      const env = { QUAYSIDE_DATA_DIR: join(root, 'data') }
      const first = await keysCommand(
        t,
        env,
        'create',
        '--name',
        'early',
        '--scopes',
        'metrics:read',
      )
      assert.equal(first.code, 0, first.stderr)
      assert.match(first.stdout, secretForm)
      assert.equal(
        (await readdir(join(root, 'data', 'postgres'))).includes('postmaster.pid'),
        false,
      )

      const server = await startServerProcess(t, env)
      const metrics = async (key: string) =>
        (await fetch(`${server.url}/metrics`, { headers: { 'x-api-key': key } })).status
      assert.equal(await metrics(first.stdout.trim()), 200)
      const second = await keysCommand(
        t,
        env,
        'create',
        '--name',
        'late',
        '--scopes',
        'metrics:read',
      )
      assert.equal(second.code, 0, second.stderr)
      assert.equal(await metrics(second.stdout.trim()), 200)
      assert.equal((await keysCommand(t, env, 'revoke', 'early')).code, 0)
      assert.equal(await metrics(first.stdout.trim()), 401)
      assert.equal(await metrics(second.stdout.trim()), 200)
      server.child.kill('SIGINT')
      assert.equal(await server.exit, 0)
    })

    test('Ctrl-C leaves no PostgreSQL behind', async (t) => {
      const data = join(root, 'fresh')
      const program = runProgram(t, 'commands/keys.ts', {
        env: { QUAYSIDE_DATA_DIR: data },
        args: ['list'],
      })
      while (!program.stderr().includes('Creating'))
        await new Promise((resolve) => setTimeout(resolve, 5))
      program.child.kill('SIGINT')
      assert.equal(await program.exit, 1)
      const files = await readdir(data, { recursive: true })
      assert.deepEqual(
        files.filter((name) => name.endsWith('postmaster.pid')),
        [],
      )
    })
  })
})
