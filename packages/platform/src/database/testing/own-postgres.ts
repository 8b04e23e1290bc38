import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createDatabaseRunner } from '../embedded-account.ts'
import { loadPostgresBinaries } from '../embedded-binaries.ts'
import { createClusterOnce, databaseUser, keepPassword, locateData } from '../embedded-cluster.ts'
import { readPidFile } from '../embedded-processes.ts'

/** A PostgreSQL of a test's own, to be stopped and started at will; its port stays the same. */
export interface OwnPostgres {
  readonly url: string
  readonly port: number
  /** Holds the data; its owner is the user that the server runs under. */
  readonly directory: string
  readonly account: { readonly uid: number; readonly gid: number } | undefined
  /** Starts it, with further settings on top of those that it was made with. */
  start(settings?: Readonly<Record<string, string>>): Promise<void>
  /** `fast` ends its connections in order, `immediate` is a crash that needs recovery. */
  stop(how?: 'fast' | 'immediate'): Promise<void>
  remove(): Promise<void>
}

/** Makes one that keeps every promise of durability unless `durable` is false, and starts it. */
export async function createOwnPostgres(
  options: { durable?: boolean; settings?: Readonly<Record<string, string>> } = {},
): Promise<OwnPostgres> {
  const { durable = false, settings = {} } = options
  const root = await mkdtemp(join(tmpdir(), 'quayside-postgres-'))
  await chmod(root, 0o755)
  const place = await locateData(join(root, 'data'), true)
  const binaries = await loadPostgresBinaries()
  const runner = await createDatabaseRunner({
    dataDirectory: place.dataDirectory,
    cluster: place.cluster,
    programs: [binaries.postgres, binaries.initdb],
  })
  const password = await keepPassword(place)
  await createClusterOnce({ place, password, binaries, runner, durable, onProgress: undefined })
  const port = await freePort()
  let child: ChildProcess | undefined
  const own: OwnPostgres = {
    url: `postgres://${databaseUser}:${password}@127.0.0.1:${port}/postgres`,
    port,
    directory: place.cluster,
    account: runner.account,
    async start(more = {}) {
      const all = {
        listen_addresses: '127.0.0.1',
        port: String(port),
        unix_socket_directories: '',
        shared_buffers: '16MB',
        fsync: durable ? 'on' : 'off',
        ...settings,
        ...more,
      }
      const parameters = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])
      child = runner.spawn(binaries.postgres, ['-D', place.cluster, ...parameters], {
        stdio: 'ignore',
      })
      await becomesReady(place.cluster, child)
    },
    async stop(how = 'fast') {
      if (child === undefined || child.exitCode !== null) return
      const exited = once(child, 'exit')
      child.kill(how === 'fast' ? 'SIGINT' : 'SIGQUIT')
      await exited
    },
    async remove() {
      await own.stop('immediate')
      await rm(root, { recursive: true, force: true, maxRetries: 5 })
    },
  }
  await own.start()
  return own
}

async function becomesReady(cluster: string, child: ChildProcess): Promise<void> {
  for (let waited = 0; waited < 30_000; waited += 5) {
    if (child.exitCode !== null) throw new Error('The PostgreSQL of the test did not start.')
    const file = await readPidFile(cluster)
    if (typeof file === 'object' && file.pid === child.pid && file.ready) return
    await sleep(5)
  }
  throw new Error('The PostgreSQL of the test was not ready within 30 s.')
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
