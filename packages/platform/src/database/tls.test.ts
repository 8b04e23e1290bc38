import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, chown, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { connectDatabase, type DatabaseOptions } from './connect.ts'
import { checkMigrations } from './migrate.ts'
import { createOwnPostgres, type OwnPostgres } from './testing/own-postgres.ts'
import { createTcpProxy } from './testing/tcp-proxy.ts'
import { isDatabaseUnavailable } from './unavailable.ts'
import { waitForDatabase } from './wait.ts'

const run = promisify(execFile)

/** An authority of the test's own, a certificate of it for this machine, and one for another. */
async function makeCertificates(directory: string): Promise<void> {
  const openssl = (...args: string[]) => run('openssl', args, { cwd: directory })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  for (const name of ['ca', 'other-ca'])
    await openssl(
      'req',
      '-x509',
      ...key,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.crt`,
      '-subj',
      `/CN=${name}`,
      '-days',
      '2',
    )
  await openssl('req', ...key, '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=db')
  for (const [name, hosts] of [
    ['server', 'DNS:localhost,IP:127.0.0.1'],
    ['elsewhere', 'DNS:elsewhere.test'],
  ] as const) {
    await writeFile(join(directory, 'names'), `subjectAltName=${hosts}`)
    await openssl(
      'x509',
      '-req',
      '-in',
      'server.csr',
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-out',
      `${name}.crt`,
      '-days',
      '2',
      '-extfile',
      'names',
    )
  }
}

describe('TLS to the database', { timeout: 60_000 }, () => {
  let server: OwnPostgres
  let directory: string
  const file = (name: string) => join(directory, name)
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'quayside-tls-'))
    await makeCertificates(directory)
    server = await createOwnPostgres()
    await server.stop()
    for (const name of ['server.crt', 'elsewhere.crt', 'server.key']) {
      const path = join(server.directory, name)
      await writeFile(path, await readFile(file(name)))
      await chmod(path, 0o600)
      if (server.account) await chown(path, server.account.uid, server.account.gid)
    }
    await server.start({ ssl: 'on' })
  })
  after(async () => {
    await server.remove()
    await rm(directory, { recursive: true })
  })

  const at = (host: string, port = server.port) =>
    server.url.replace(`127.0.0.1:${server.port}`, `${host}:${port}`)
  const connect = (t: TestContext, options: DatabaseOptions) => {
    const db = connectDatabase({ poolSize: 1, ...options })
    t.after(() => db.close())
    return db
  }
  const isEncrypted = async (db: ReturnType<typeof connectDatabase>): Promise<unknown> => {
    const [row] = await db.sql`select ssl from pg_stat_ssl where pid = pg_backend_pid()`
    return row?.['ssl']
  }

  for (const host of ['localhost', '127.0.0.1'])
    test(`a CA file encrypts the way to ${host} and proves who is there`, async (t) => {
      const db = connect(t, { url: at(host), caFile: file('ca.crt') })
      assert.equal(await isEncrypted(db), true)
    })

  test('a certificate of another authority is refused', async (t) => {
    const db = connect(t, { url: at('localhost'), caFile: file('other-ca.crt') })
    await assert.rejects(Promise.resolve(db.sql`select 1`), {
      code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    })
  })

  test('a certificate for another name is refused, also where the host is an address', async (t) => {
    await server.stop()
    await server.start({ ssl: 'on', ssl_cert_file: 'elsewhere.crt' })
    for (const host of ['localhost', '127.0.0.1']) {
      const db = connect(t, { url: at(host), caFile: file('ca.crt') })
      const code = 'ERR_TLS_CERT_ALTNAME_INVALID'
      await assert.rejects(Promise.resolve(db.sql`select 1`), { code })
    }
    await server.stop()
    await server.start({ ssl: 'on' })
  })

  test('neither migrations nor the wait at the start trust more than the pool does', async () => {
    const trusted = { url: at('localhost'), caFile: file('ca.crt') }
    const strange = { url: at('localhost'), caFile: file('other-ca.crt') }
    const onWait = () => assert.fail('it waited')
    await waitForDatabase({ ...trusted, onWait })
    await checkMigrations(trusted.url, [], trusted)
    const code = 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'
    await assert.rejects(waitForDatabase({ ...strange, onWait }), { code })
    await assert.rejects(checkMigrations(strange.url, [], strange), { code })
  })

  test('a server without TLS, or somebody who says so, is refused before anything is told', async (t) => {
    const heard: Buffer[] = []
    const plain = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.on('data', (chunk: Buffer) => {
        heard.push(chunk)
        socket.write('N')
      })
    }).listen(0, '127.0.0.1')
    await once(plain, 'listening')
    t.after(() => plain.close())
    const address = plain.address()
    assert(typeof address === 'object' && address !== null)
    const db = connect(t, { url: at('127.0.0.1', address.port), caFile: file('ca.crt') })
    await assert.rejects(Promise.resolve(db.sql`select 1`), /does not speak TLS/)
    assert.equal(Buffer.concat(heard).length, 8)
  })

  for (const [mode, encrypted] of [
    ['disable', false],
    ['require', true],
    ['prefer', true],
  ] as const)
    test(`sslmode=${mode} in the URL is honoured`, async (t) => {
      const db = connect(t, { url: `${server.url}?sslmode=${mode}` })
      assert.equal(await isEncrypted(db), encrypted)
    })

  test('sslmode=verify-full asks the authorities of the system', async (t) => {
    const db = connect(t, { url: `${at('localhost')}?sslmode=verify-full` })
    await assert.rejects(Promise.resolve(db.sql`select 1`), {
      code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    })
  })

  describe('is watched as without it', { concurrency: true }, () => {
    test('packets that vanish end the query, and the pool recovers', async (t) => {
      const proxy = await createTcpProxy(server.port)
      t.after(() => proxy.close())
      const db = connect(t, {
        url: at('localhost', proxy.port),
        caFile: file('ca.crt'),
        statementTimeoutMs: 300,
      })
      await db.sql`select 1`
      proxy.swallow()
      const error = await db.sql`select 1`.catch((thrown: unknown) => thrown)
      assert(isDatabaseUnavailable(error), String(error))
      proxy.pass()
      await db.sql`select 1`
      assert.deepEqual(db.poolStats(), { open: 1, max: 1 })
    })

    test('an idle connection is left alone', async (t) => {
      const db = connect(t, {
        url: at('localhost'),
        caFile: file('ca.crt'),
        statementTimeoutMs: 100,
      })
      const pid = async () => (await db.sql`select pg_backend_pid() as pid`)[0]?.['pid'] as unknown
      const first = await pid()
      await new Promise((resolve) => setTimeout(resolve, 1_500))
      assert.equal(await pid(), first)
    })
  })
})
