import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import postgres from 'postgres'
import type { Sql } from 'postgres'

/** Absent means that the Redis tests do not exist in this run; present means that they must pass. */
export const testRedisUrl = process.env.TEST_REDIS_URL || undefined

/** Polls a real service; the deadline only ends a test that has failed already. */
export async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('It did not happen within 10 s.')
    await delay(20)
  }
}

/** A schema of its own with the migrated table, and as many pools on it as there are nodes. */
export async function openTestSchema(nodes: number) {
  const url = process.env.TEST_DATABASE_URL
  if (!url) throw new Error('Set TEST_DATABASE_URL to run the limits on PostgreSQL.')
  const schema = `limits_${randomUUID().replaceAll('-', '')}`
  const connect = (): Sql =>
    postgres(url, { max: 10, onnotice: () => {}, connection: { search_path: schema } })
  const pools = Array.from({ length: nodes }, connect)
  const [first] = pools
  if (first === undefined) throw new Error('At least one node is needed.')
  const migration = new URL('../../../migrations/0002-rate-limits.sql', import.meta.url)
  await first`create schema ${first(schema)}`
  await first.unsafe(await readFile(migration, 'utf8'))
  return {
    pools,
    drop: async () => {
      await first`drop schema ${first(schema)} cascade`
      await Promise.all(pools.map((pool) => pool.end()))
    },
  }
}

/** Clients of the given Redis whose keys are this run's own and are removed at the end. */
export async function openTestRedis(url: string, nodes: number) {
  const keyPrefix = `test-${randomUUID()}:`
  const clients = Array.from({ length: nodes }, () => new Redis(url, { keyPrefix }))
  const cleaner = new Redis(url)
  return {
    clients,
    keyPrefix,
    keys: () => cleaner.keys(`${keyPrefix}*`),
    drop: async () => {
      const keys = await cleaner.keys(`${keyPrefix}*`)
      if (keys.length > 0) await cleaner.del(...keys)
      await Promise.all([...clients, cleaner].map((client) => client.quit()))
    },
  }
}

/** A redis-server of the test's own on a free loopback port, to be stopped and started at will. */
export async function createOwnRedis(...options: readonly string[]) {
  const directory = await mkdtemp(join(tmpdir(), 'limits-redis-'))
  const port = await freePort()
  let child: ReturnType<typeof spawn> | undefined

  async function start(): Promise<void> {
    const base = ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory]
    const quiet = ['--save', '', '--appendonly', 'no', '--loglevel', 'warning']
    child = spawn('redis-server', [...base, ...quiet, ...options], { stdio: 'ignore' })
    await once(child, 'spawn')
    await until(async () => (await askOnce(port, 'ping')) === 'PONG')
  }

  async function stop(): Promise<void> {
    if (child === undefined) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
    child = undefined
  }

  return {
    port,
    start,
    stop,
    freeze: () => child?.kill('SIGSTOP'),
    thaw: () => child?.kill('SIGCONT'),
    run: (...command: readonly [string, ...string[]]) => askOnce(port, ...command),
    remove: async () => {
      await stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function askOnce(port: number, name: string, ...args: readonly string[]): Promise<unknown> {
  const client = new Redis({ port, lazyConnect: true, retryStrategy: () => null })
  client.on('error', () => {})
  try {
    await client.connect()
    return await client.call(name, ...args)
  } catch {
    return undefined
  } finally {
    client.disconnect()
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('No port was given.')
  server.close()
  await once(server, 'close')
  return address.port
}
