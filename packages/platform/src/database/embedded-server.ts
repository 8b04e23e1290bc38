import type { ChildProcess } from 'node:child_process'
import { createServer } from 'node:net'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DatabaseRunner } from './embedded-account.ts'
import type { PostgresBinaries } from './embedded-binaries.ts'
import { type DataPlace, openLog } from './embedded-cluster.ts'
import { clusterTitle, readPidFile, signalServer } from './embedded-processes.ts'

/** A PostgreSQL process that this process started and that accepts connections. */
export interface LaunchedServer {
  readonly port: number
  /** Resolves with the exit code when the process has ended, whoever ended it. */
  readonly exited: Promise<number | null>
  /** Fast shutdown; after 10 s an immediate one. Resolves when the process is gone. */
  readonly stop: () => Promise<void>
}

export interface LaunchOptions {
  readonly place: DataPlace
  readonly binaries: PostgresBinaries
  readonly runner: DatabaseRunner
  readonly durable: boolean
  readonly settings: Readonly<Record<string, string>>
}

/**
 * Starts the server on a free port of 127.0.0.1. `undefined` when it ended before it was ready, for
 * example because another program took the port; the caller looks again and retries.
 */
export async function launchServer(options: LaunchOptions): Promise<LaunchedServer | undefined> {
  const port = await pickFreePort()
  const log = await openLog(options.place)
  const parameters = ['-D', options.place.cluster, ...serverSettings(options, port)]
  const child = options.runner.spawn(options.binaries.postgres, parameters, {
    stdio: ['ignore', log.fd, log.fd],
    // A process group of its own: Ctrl-C in a terminal reaches only us, and we stop it in order.
    detached: true,
  })
  const exited = new Promise<number | null>((resolve) => {
    child.once('exit', (code) => resolve(code))
    child.once('error', () => resolve(null))
  })
  await log.close()
  const stop = () => stopServer(child, exited, options.binaries.control)
  if (await becomesReady(options.place.cluster, child)) return { port, exited, stop }
  await stop()
  return undefined
}

/** The end of the server's log, to say why a start failed. */
export async function readLogEnd(place: DataPlace, lines = 8): Promise<string> {
  const text = await readFile(place.log, 'utf8').catch(() => '')
  return text.trimEnd().split('\n').slice(-lines).join('\n')
}

/** For tests only: an operating system crash may lose the data, and everything is faster. */
const volatileSettings = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }

function serverSettings(options: LaunchOptions, port: number): string[] {
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    cluster_name: clusterTitle(options.place.cluster),
    TimeZone: 'UTC',
    log_timezone: 'UTC',
    lc_messages: 'C',
    max_connections: '200',
    shared_buffers: '64MB',
    huge_pages: 'off',
    jit: 'off',
    // The messages of failed statements hold values of users' rows, which do not belong into a file
    // of their own; the application has the errors anyway and logs them redacted.
    log_min_messages: 'log',
    log_checkpoints: 'off',
    ...(options.durable ? {} : volatileSettings),
    ...options.settings,
  }
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
}

async function becomesReady(cluster: string, child: ChildProcess): Promise<boolean> {
  const started = performance.now()
  // A minute is for crash recovery; PostgreSQL's own line in its pid file tells the moment.
  while (isAlive(child) && performance.now() - started < 60_000) {
    const file = await readPidFile(cluster)
    if (typeof file === 'object' && file.pid === child.pid && file.ready) return true
    await sleep(4)
  }
  return false
}

async function stopServer(
  child: ChildProcess,
  exited: Promise<number | null>,
  control: string,
): Promise<void> {
  const { pid } = child
  if (pid === undefined || !isAlive(child)) return
  signalServer(pid, 'SIGINT', control)
  const impatient = setTimeout(() => signalServer(pid, 'SIGQUIT', control), 10_000)
  const desperate = setTimeout(() => child.kill('SIGKILL'), 15_000)
  await exited
  clearTimeout(impatient)
  clearTimeout(desperate)
}

function isAlive(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null
}

function pickFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      probe.close(() => resolve(port))
    })
  })
}
