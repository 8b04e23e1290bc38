import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFile,
  chmod,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { attachEmbeddedPostgres, startEmbeddedPostgres } from './embedded.ts'

const isRoot = process.getuid?.() === 0
const moduleUrl = new URL('embedded.ts', import.meta.url).href

/** A directory in which nothing has started yet. */
async function scratch(t: TestContext): Promise<string> {
  const root = await makeRoot()
  t.after(() => removeRoot(root))
  return join(root, 'data')
}

async function makeRoot(): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'quayside-embedded-'))
  // As in a user's checkout: others may pass, so that root's database can run under another user.
  await chmod(root, 0o755)
  return root
}

async function removeRoot(root: string): Promise<void> {
  await endServers(root)
  await rm(root, { recursive: true, force: true, maxRetries: 5 })
}

/** Ends whatever a failed test left running below a directory. */
async function endServers(root: string): Promise<void> {
  for (const name of await readdir(root, { recursive: true })) {
    if (!name.endsWith('postmaster.pid')) continue
    const pid = Number((await readFile(join(root, name), 'utf8')).split('\n')[0])
    if ((await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes(root)) {
      process.kill(pid, 'SIGINT')
      await until(() => !isAlive(pid))
    }
  }
}

const start = (dataDir: string, more: Partial<Parameters<typeof startEmbeddedPostgres>[0]> = {}) =>
  startEmbeddedPostgres({ dataDir, durable: false, ...more })

async function query(url: string, text: string): Promise<postgres.Row[]> {
  const sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => undefined })
  try {
    return [...(await sql.unsafe(text))]
  } finally {
    await sql.end({ timeout: 0 })
  }
}

/** Another process that owns a database, as `npm start` does. */
async function ownInChild(t: TestContext, dataDir: string, then = '') {
  const script = `
    import { startEmbeddedPostgres } from ${JSON.stringify(moduleUrl)}
    const db = await startEmbeddedPostgres({
      dataDir: process.argv[1], onProgress: () => console.log('progress') })
    console.log(db.url)
    ${then}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, dataDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  t.after(() => child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async () => String((await lines.next()).value)
  return { child, next }
}

async function killHard(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  await once(child, 'exit')
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let round = 0; round < 2_000; round += 1) {
    if (await condition()) return
    await sleep(10)
  }
  assert.fail('this did not become true within twenty seconds')
}

const serverPid = async (dataDir: string) =>
  Number((await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')[0])

describe('embedded PostgreSQL', () => {
  let root = ''
  before(async () => {
    root = await makeRoot()
    await (await start(join(root, 'data'))).stop()
  })
  after(() => removeRoot(root))

  /** A directory with a database that is not running; it costs far less than a first start. */
  const prepared = (t: TestContext) => {
    t.after(() => endServers(root))
    return join(root, 'data')
  }

  test('the first start makes a database and the second finds its rows', async (t) => {
    const dataDir = await scratch(t)
    const messages: string[] = []
    const first = await start(dataDir, { onProgress: (message) => messages.push(message) })
    assert.equal(first.firstStart, true)
    assert.match(first.version, /^\d+\.\d+$/)
    assert.equal(messages.length, 1)
    await query(first.url, `create table kept (id int); insert into kept values (7)`)
    await first.stop()
    await first.stop()
    await assert.rejects(query(first.url, 'select 1'), { code: 'ECONNREFUSED' })
    const second = await start(dataDir, { onProgress: (message) => messages.push(message) })
    assert.equal(second.firstStart, false)
    assert.equal(messages.length, 1)
    assert.deepEqual(await query(second.url, 'select id from kept'), [{ id: 7 }])
    await second.stop()
    assert.deepEqual((await readdir(dataDir)).toSorted(), [
      'postgres',
      'postgres.json',
      'postgres.log',
    ])
  })

  test('it is a private UTF-8 database in UTC with a password', async (t) => {
    const dataDir = prepared(t)
    const db = await start(dataDir, { settings: { work_mem: '5MB' } })
    const [row] = await query(
      db.url,
      `select current_user as user, current_database() as database,
         current_setting('TimeZone') as zone, current_setting('listen_addresses') as addresses,
         current_setting('unix_socket_directories') as sockets,
         current_setting('work_mem') as "workMemory", current_setting('fsync') as fsync,
         pg_encoding_to_char(encoding) as encoding, datlocprovider as provider, datlocale as locale
       from pg_database where datname = current_database()`,
    )
    assert.deepEqual(row, {
      user: 'quayside',
      database: 'quayside',
      zone: 'UTC',
      addresses: '127.0.0.1',
      sockets: '',
      workMemory: '5MB',
      fsync: 'off',
      encoding: 'UTF8',
      provider: 'b',
      locale: 'C.UTF-8',
    })
    const guessed = new URL(db.url)
    guessed.password = 'quayside'
    await assert.rejects(query(guessed.href, 'select 1'), { code: '28P01' })
    const secret = await stat(join(dataDir, 'postgres.json'))
    assert.equal(secret.mode & 0o777, 0o600)
    assert.equal(secret.uid, process.getuid?.())
    await db.stop()
  })

  test('a killed owner costs no acknowledged row and does not block the next start', async (t) => {
    const dataDir = prepared(t)
    const { child, next } = await ownInChild(t, dataDir)
    const url = await next()
    await query(url, `create table acknowledged (id int)`)
    for (let id = 0; id < 5; id += 1) await query(url, `insert into acknowledged values (${id})`)
    const orphan = await serverPid(dataDir)
    await killHard(child)
    assert.ok(isAlive(orphan), 'the server outlives its owner')
    assert.equal(await attachEmbeddedPostgres({ dataDir }), undefined)
    const db = await start(dataDir)
    assert.equal(db.firstStart, false)
    assert.notEqual(await serverPid(dataDir), orphan)
    assert.deepEqual(await query(db.url, 'select count(*)::int as n from acknowledged'), [{ n: 5 }])
    await db.stop()
    await until(() => !isAlive(orphan))
  })

  test('a second owner is refused while the first lives, and attaching works', async (t) => {
    const dataDir = prepared(t)
    assert.equal(await attachEmbeddedPostgres({ dataDir }), undefined)
    const db = await start(dataDir)
    await assert.rejects(start(dataDir), /Another Quayside is running on .*QUAYSIDE_DATA_DIR/)
    await assert.rejects(start(dataDir, { role: 'tool' }), /Another Quayside is running/)
    assert.deepEqual(await attachEmbeddedPostgres({ dataDir }), { url: db.url })
    assert.deepEqual(await query(db.url, 'select 1 as one'), [{ one: 1 }])
    await db.stop()
    assert.equal(await attachEmbeddedPostgres({ dataDir }), undefined)
  })

  test('of two first starts at once exactly one wins', async (t) => {
    const dataDir = await scratch(t)
    const results = await Promise.allSettled([start(dataDir), start(dataDir)])
    const won = results.filter((result) => result.status === 'fulfilled')
    const lost = results.filter((result) => result.status === 'rejected')
    assert.equal(won.length, 1, String(lost.map((result) => result.reason)))
    for (const { reason } of lost) assert.match(String(reason), /Another Quayside is running/)
    assert.deepEqual(await query(won[0]?.value.url ?? '', 'select 1 as one'), [{ one: 1 }])
    await won[0]?.value.stop()
  })

  test('the owner keeps its place when its own connection is cut', async (t) => {
    const dataDir = prepared(t)
    const db = await start(dataDir)
    const owner = `from pg_stat_activity where application_name like 'quayside owner%'`
    const held = `select from pg_locks where locktype = 'advisory'`
    await query(db.url, `select pg_terminate_backend(pid) ${owner}`)
    await until(async () => (await query(db.url, held)).length === 1)
    await assert.rejects(start(dataDir), /Another Quayside is running/)
    await db.stop()
  })

  test('a server waits for a tool, and a tool lends its database to nobody', async (t) => {
    const dataDir = prepared(t)
    const tool = await start(dataDir, { role: 'tool' })
    assert.equal(await attachEmbeddedPostgres({ dataDir }), undefined)
    await assert.rejects(start(dataDir, { waitForToolMs: 1 }), /command is still using/)
    const waiting = start(dataDir)
    const early = await Promise.race([waiting.then(() => 'started'), sleep(150, 'waits')])
    assert.equal(early, 'waits')
    await tool.stop()
    const db = await waiting
    assert.deepEqual(await query(db.url, 'select 1 as one'), [{ one: 1 }])
    await db.stop()
  })

  test('a kill in the middle of making the files leaves nothing in the way', async (t) => {
    const dataDir = await scratch(t)
    const { child, next } = await ownInChild(t, dataDir)
    assert.equal(await next(), 'progress')
    const temporaries = async () =>
      (await readdir(dataDir)).filter((name) => name.startsWith('postgres.tmp-'))
    await until(async () => (await temporaries()).length === 1)
    await killHard(child)
    assert.equal((await temporaries()).length, 1)
    // A second one, half made, as after a power cut.
    await mkdir(join(dataDir, 'postgres.tmp-999999999-ab', 'data'), { recursive: true })
    await writeFile(join(dataDir, 'postgres.tmp-999999999-ab', 'data', 'PG_VERSION'), '18')
    const db = await start(dataDir)
    assert.equal(db.firstStart, true)
    assert.deepEqual(await query(db.url, 'select 1 as one'), [{ one: 1 }])
    await db.stop()
    await (await start(dataDir)).stop()
    assert.deepEqual(await temporaries(), [])
  })

  test('no leftover pid file blocks a start or ends a stranger', async (t) => {
    const dataDir = prepared(t)
    await (await start(dataDir)).stop()
    const bystander = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)'])
    t.after(() => bystander.kill('SIGKILL'))
    const cluster = join(dataDir, 'postgres')
    const whole = (pid: number | undefined, port: number) =>
      `${pid}\n${cluster}\n1700000000\n${port}\n\n127.0.0.1\n  1234567         1\nready   \n`
    const files = {
      empty: '',
      garbage: '\u0000\u0001 not a pid file \n\n',
      'cut off after the number of a running process': String(bystander.pid),
      'the number of a dead process': whole(999_999_999, 1),
      'the number of another running process': whole(bystander.pid, 1),
      'the number of this very process': whole(process.pid, 1),
    }
    for (const [what, content] of Object.entries(files)) {
      const path = join(cluster, 'postmaster.pid')
      await writeFile(path, content)
      const db = await start(dataDir)
      assert.deepEqual(await query(db.url, 'select 1 as one'), [{ one: 1 }], what)
      await db.stop()
    }
    assert.equal(bystander.exitCode ?? bystander.signalCode, null)
  })

  test('a copied directory never ends the server of the original', async (t) => {
    const dataDir = prepared(t)
    const original = await start(dataDir)
    await query(original.url, 'checkpoint')
    const copyDir = join(await scratch(t), '..', 'copy')
    await cp(dataDir, copyDir, { recursive: true })
    assert.equal(await attachEmbeddedPostgres({ dataDir: copyDir }), undefined)
    const copy = await start(copyDir)
    assert.notEqual(copy.port, original.port)
    assert.deepEqual(await query(original.url, 'select 1 as one'), [{ one: 1 }])
    await Promise.all([copy.stop(), original.stop()])
  })

  test('after PostgreSQL itself was killed the owner is told and the next start recovers', async (t) => {
    const dataDir = prepared(t)
    const told = Promise.withResolvers<number | null>()
    const first = await start(dataDir, { durable: true, onExit: told.resolve })
    await query(first.url, 'create table recovered (id int); insert into recovered values (1)')
    // This backend never looks up, so it survives its server and keeps the shared memory.
    const busy = postgres(first.url, { max: 1, onnotice: () => undefined })
    const stuck = busy.unsafe('do $$ begin loop end loop; end $$').catch(() => undefined)
    const active = `select from pg_stat_activity where query like 'do %' and state = 'active'`
    await until(async () => (await query(first.url, active)).length === 1)
    process.kill(await serverPid(dataDir), 'SIGKILL')
    assert.equal(await told.promise, null)
    const second = await start(dataDir)
    assert.deepEqual(await query(second.url, 'select id from recovered'), [{ id: 1 }])
    await stuck
    await busy.end({ timeout: 0 })
    await Promise.all([first.stop(), second.stop()])
  })

  test('an orderly stop is not reported as an unexpected end', async (t) => {
    const dataDir = prepared(t)
    let told = 0
    const db = await start(dataDir, { onExit: () => (told += 1) })
    const idle = postgres(db.url, { max: 1 })
    await idle`select 1`
    await db.stop()
    await idle.end({ timeout: 0 })
    assert.equal(told, 0)
  })

  test('Ctrl-C reaches the owner and not the database before the owner stops it', async (t) => {
    const dataDir = prepared(t)
    const { child, next } = await ownInChild(
      t,
      dataDir,
      `const { default: postgres } = await import(${JSON.stringify(import.meta.resolve('postgres'))})
       process.on('SIGINT', async () => {
         const sql = postgres(db.url, { max: 1 })
         const [row] = await sql\`select pg_sleep(0.1), 'still served' as answer\`
         console.log(row.answer)
         await sql.end()
         await db.stop()
         console.log('stopped')
       })
       console.log('listening')`,
    )
    await next()
    assert.equal(await next(), 'listening')
    const pid = await serverPid(dataDir)
    // To the whole foreground group, as a terminal does.
    process.kill(-Number(child.pid), 'SIGINT')
    assert.equal(await next(), 'still served')
    assert.equal(await next(), 'stopped')
    await once(child, 'exit')
    assert.equal(child.exitCode, 0)
    assert.equal(isAlive(pid), false)
  })

  test('what cannot be repaired is refused with a sentence that says what to do', async (t) => {
    const dataDir = prepared(t)
    const version = join(dataDir, 'postgres', 'PG_VERSION')
    const right = await readFile(version, 'utf8')
    await writeFile(version, '12\n')
    await assert.rejects(start(dataDir), /was made by PostgreSQL 12/)
    await writeFile(version, right)
    await assert.rejects(
      start(dataDir, { settings: { shared_buffers: 'much' } }),
      /does not start\. Its log[^]*invalid value for parameter "shared_buffers"/,
    )
    const secret = join(dataDir, 'postgres.json')
    await rename(secret, `${secret}.away`)
    await assert.rejects(start(dataDir), /its password file .* is missing/)
    await rename(`${secret}.away`, secret)
  })

  test('the log of the server stays bounded', async (t) => {
    const dataDir = prepared(t)
    await appendFile(join(dataDir, 'postgres.log'), Buffer.alloc(5 * 1024 * 1024 + 1, 'x'))
    await (await start(dataDir)).stop()
    const { size } = await stat(join(dataDir, 'postgres.log'))
    assert.ok(size > 0 && size < 100_000, `${size} bytes`)
  })

  test('root starts it under an unprivileged user', { skip: !isRoot }, async (t) => {
    const dataDir = prepared(t)
    const db = await start(dataDir)
    const status = await readFile(`/proc/${await serverPid(dataDir)}/status`, 'utf8')
    assert.doesNotMatch(status, /^Uid:.*\t0\b/m)
    assert.match(status, /^Groups:\s*$/m)
    assert.match(status, /^CapEff:\s*0+$/m)
    await db.stop()
  })

  test(
    'root starts it below a directory that only root may enter',
    { skip: !isRoot },
    async (t) => {
      const dataDir = await scratch(t)
      await chmod(join(dataDir, '..'), 0o700)
      const nested = join(dataDir, 'checkout', '.quayside')
      const first = await start(nested)
      await query(first.url, 'create extension earthdistance cascade')
      const status = await readFile(`/proc/${await serverPid(nested)}/status`, 'utf8')
      assert.doesNotMatch(status, /^Uid:.*\t0\b/m)
      // One right at most: reading past permissions (4), or writing too where that is not granted (2).
      assert.match(status, /^CapBnd:\s*0+[24]$/m)
      await first.stop()
      const second = await start(nested)
      assert.equal(second.firstStart, false)
      await second.stop()
    },
  )
})
