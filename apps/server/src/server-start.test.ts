import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { createTestDatabase, type TestDatabase } from '@quayside/platform/testing'
import { runProgram, type ServerProgram, startServerProcess } from './testing/server-process.ts'

/** The words of a refusal: what is wrong, and no stack trace. */
async function refusalOf(program: ServerProgram): Promise<string> {
  assert.equal(await program.exit, 1)
  const text = program.stderr()
  assert.doesNotMatch(text, /^\s+at /m)
  return text
}

describe('starting', { concurrency: 2 }, () => {
  describe('on a given PostgreSQL', { timeout: 60_000, concurrency: 2 }, () => {
    let db: TestDatabase
    before(async () => {
      db = await createTestDatabase()
    })
    after(() => db.close())

    test('the banner tells where it is, and its first command works as printed', async (t) => {
      const url = new URL(db.url)
      // A server that trusts everybody on loopback takes any; the embedded one knows its own.
      url.password ||= 'correct-horse-battery'
      const server = await startServerProcess(t, { DATABASE_URL: url.href })
      await server.printed(/curl http:\S+\n/)
      const banner = server.stdout()
      assert(banner.includes(`${url.host}${url.pathname}`), 'what the database is')
      assert.equal(banner.includes(url.password), false, 'but not its password')
      assert.doesNotMatch(banner, /WARNING/)
      const docs = /described at (http:\S+)/.exec(banner)?.[1] ?? ''
      const [, command = ''] = /Try: {2}curl (http:\S+)/.exec(banner) ?? []
      assert(docs.startsWith(server.url) && command.startsWith(server.url))
      assert.equal((await fetch(command)).status, 200)
      const page = await fetch(docs)
      assert.equal(page.status, 200)
      assert.match(page.headers.get('content-type') ?? '', /text\/html/)
      assert.deepEqual(await (await fetch(`${server.url}/health/live`)).json(), { status: 'ok' })
    })

    test('a port in use is said in a sentence', async (t) => {
      const other = createServer().listen(0, '127.0.0.1')
      await once(other, 'listening')
      t.after(() => other.close())
      const address = other.address()
      assert(typeof address === 'object' && address !== null)
      const env = { DATABASE_URL: db.url, PORT: String(address.port) }
      const refusal = await refusalOf(runProgram(t, 'main.ts', { env }))
      assert.match(refusal, new RegExp(`127\\.0\\.0\\.1:${address.port}`))
      assert.match(refusal, /PORT/)
    })

    test('a database that does not exist is said in a sentence', async (t) => {
      const env = { DATABASE_URL: db.url.replace(/[^/]+$/, 'qs_test_nowhere'), PORT: '0' }
      assert.match(
        await refusalOf(runProgram(t, 'main.ts', { env })),
        /"qs_test_nowhere" does not exist/,
      )
    })

    test('a database that is newer than the code is said in a sentence', async (t) => {
      const newer = await createTestDatabase()
      t.after(() => newer.close())
      await newer.sql`
      insert into quayside_migrations (feature, name, checksum) values ('platform', '9999-new.sql', '')`
      const env = { DATABASE_URL: newer.url, PORT: '0' }
      assert.match(await refusalOf(runProgram(t, 'main.ts', { env })), /platform\/9999-new\.sql/)
    })

    test('every problem of the environment is listed, and no value', async (t) => {
      const env = {
        PORT: 'canary',
        COGNITO_USER_POOL_ID: 'canary',
        DATABASE_URL: 'canary',
        DATABASE_POOL_SIZE: '-1',
      }
      const refusal = await refusalOf(runProgram(t, 'main.ts', { env }))
      for (const name of [
        'PORT',
        'AWS_REGION',
        'COGNITO_CLIENT_ID',
        'DATABASE_URL',
        'DATABASE_POOL_SIZE',
      ])
        assert.match(refusal, new RegExp(`^- ${name}: `, 'm'))
      assert.doesNotMatch(refusal, /canary/)
    })

    test('an issuer that would fetch its keys in the clear is said in a sentence', async (t) => {
      const entry = { issuer: 'http://id.test', audience: 'app', algorithms: ['RS256'] }
      const env = { DATABASE_URL: db.url, PORT: '0', AUTH_ISSUERS: JSON.stringify([entry]) }
      assert.match(await refusalOf(runProgram(t, 'main.ts', { env })), /https/)
    })

    test('while the database does not answer it says so, and Ctrl-C ends it', async (t) => {
      const env = { DATABASE_URL: 'postgres://127.0.0.1:1/none', PORT: '0' }
      const program = runProgram(t, 'main.ts', { env })
      await program.printed(/Waiting for PostgreSQL/)
      program.child.kill('SIGINT')
      assert.equal(await program.exit, 0)
    })
  })

  describe('on the embedded PostgreSQL', { timeout: 60_000, concurrency: 1 }, () => {
    let root: string
    before(async () => {
      root = await mkdtemp(join(tmpdir(), 'quayside-start-'))
      await chmod(root, 0o755)
    })
    after(() => rm(root, { recursive: true, force: true, maxRetries: 5 }))

    const envFor = (name: string) => ({ QUAYSIDE_DATA_DIR: join(root, name), PORT: '0' })
    const postgresPid = async (name: string): Promise<number | undefined> => {
      const file = join(root, name, 'postgres', 'postmaster.pid')
      const text = await readFile(file, 'utf8').catch(() => undefined)
      return text === undefined ? undefined : Number(text.split('\n')[0])
    }
    const isAlive = (pid: number): boolean => {
      try {
        return process.kill(pid, 0)
      } catch {
        return false
      }
    }

    test('a second server on the same data is refused in a sentence, the first serves on, and Ctrl-C ends both of its processes', async (t) => {
      const first = await startServerProcess(t, envFor('shared'))
      assert.match(first.stdout(), /embedded/)
      const second = runProgram(t, 'main.ts', { env: envFor('shared') })
      assert.match(await refusalOf(second), /Another Quayside is running/)
      assert.equal((await fetch(`${first.url}/health/ready`)).status, 200)

      const pid = await postgresPid('shared')
      assert(pid !== undefined && isAlive(pid))
      first.child.kill('SIGINT')
      assert.equal(await first.exit, 0)
      assert.equal(isAlive(pid), false)
      assert.equal(await postgresPid('shared'), undefined)
    })

    test('a port in use leaves no PostgreSQL behind', async (t) => {
      const other = createServer().listen(0, '127.0.0.1')
      await once(other, 'listening')
      t.after(() => other.close())
      const address = other.address()
      assert(typeof address === 'object' && address !== null)
      const env = { ...envFor('shared'), PORT: String(address.port) }
      assert.match(await refusalOf(runProgram(t, 'main.ts', { env })), /PORT/)
      assert.equal(await postgresPid('shared'), undefined)
    })

    test('a server that was killed does not keep the next one from starting', async (t) => {
      const killed = await startServerProcess(t, envFor('shared'))
      killed.child.kill('SIGKILL')
      await killed.exit
      const next = await startServerProcess(t, envFor('shared'))
      assert.equal((await fetch(`${next.url}/health/ready`)).status, 200)
      next.child.kill('SIGINT')
      assert.equal(await next.exit, 0)
    })

    test('Ctrl-C during the very first start leaves no PostgreSQL behind', async (t) => {
      const program = runProgram(t, 'main.ts', { env: envFor('fresh') })
      await program.printed(/Creating the database files/)
      program.child.kill('SIGINT')
      assert.equal(await program.exit, 0)
      assert.equal(program.stderr(), '')
      assert.equal(await postgresPid('fresh'), undefined)
    })
  })
})
