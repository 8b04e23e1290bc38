import { createDatabaseRunner } from './embedded-account.ts'
import { loadPostgresBinaries } from './embedded-binaries.ts'
import {
  createClusterOnce,
  databaseName,
  databaseUser,
  keepPassword,
  locateData,
  readPassword,
} from './embedded-cluster.ts'
import {
  clearTheWay,
  findOwner,
  openOwnerConnection,
  type OwnerConnection,
  type OwnerRole,
  servesCluster,
  takeOwnership,
} from './embedded-owner.ts'
import { endLeftovers, isRunning, readPidFile } from './embedded-processes.ts'
import { launchServer, type LaunchedServer, readLogEnd } from './embedded-server.ts'

export interface EmbeddedPostgresOptions {
  /** Holds the data, the password file and the log, for example `.quayside`. Made when missing. */
  readonly dataDir: string
  /** Called with one plain sentence before a step that takes long. */
  readonly onProgress?: (message: string) => void
  /** PostgreSQL settings that go over the defaults, for example `{ work_mem: '16MB' }`. */
  readonly settings?: Readonly<Record<string, string>>
  /** `false` trades the safety of the data for speed: for tests only. Default `true`. */
  readonly durable?: boolean
  /** A `server` (the default) is there to stay; a `tool` ends soon, and a server waits for it. */
  readonly role?: OwnerRole
  /** How long to wait for a tool that uses the same data before giving up. Default 10,000. */
  readonly waitForToolMs?: number
  /** Called when PostgreSQL ends although nobody asked it to. */
  readonly onExit?: (code: number | null) => void
}

export interface EmbeddedPostgres {
  readonly url: string
  readonly port: number
  /** For example `18.4`. */
  readonly version: string
  /** Whether this start made the database files. */
  readonly firstStart: boolean
  /** Shuts PostgreSQL down in order and resolves when it is gone. May be called more than once. */
  readonly stop: () => Promise<void>
}

/**
 * Starts a PostgreSQL of our own on 127.0.0.1, making its files first when there are none. Whatever
 * a killed predecessor left behind is cleared away. Throws an `Error` with a sentence for the user
 * when another owner is alive, when the machine has no PostgreSQL programs or may not run them.
 */
export async function startEmbeddedPostgres(
  options: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> {
  const { durable = true, role = 'server', settings = {}, waitForToolMs = 10_000 } = options
  const binaries = await loadPostgresBinaries()
  const place = await locateData(options.dataDir, true)
  const runner = await createDatabaseRunner({
    dataDirectory: place.dataDirectory,
    cluster: place.cluster,
    programs: [binaries.postgres, binaries.initdb],
  })
  const password = await keepPassword(place)
  const { onProgress, onExit } = options
  const deps = { place, password, binaries, runner, durable, onProgress }
  const firstStart = await createClusterOnce(deps)
  const { control } = binaries
  for (let attempt = 0; attempt < 5; attempt += 1) {
    await clearTheWay({ place, password, control, waitForToolMs })
    if (attempt > 0) await endLeftovers(place.cluster)
    const launched = await launchServer({ place, binaries, runner, durable, settings })
    const owned = launched && (await own(launched, { password, role, onExit }))
    if (owned) return { ...owned, firstStart }
  }
  throw new Error(
    `The embedded PostgreSQL does not start. Its log, ${place.log}, ends with:\n` +
      (await readLogEnd(place)),
  )
}

/**
 * For a command-line tool: the address of the database that a running server owns, or `undefined`
 * when there is none (the tool then starts its own, with `role: 'tool'`, and stops it afterwards).
 */
export async function attachEmbeddedPostgres(options: {
  readonly dataDir: string
}): Promise<{ url: string } | undefined> {
  const place = await locateData(options.dataDir, false)
  const password = await readPassword(place)
  const file = await readPidFile(place.cluster)
  if (password === undefined || typeof file !== 'object') return undefined
  if (!(await isRunning(file.pid))) return undefined
  const connection = openOwnerConnection({ port: file.port, password, role: 'tool' })
  try {
    if (!(await servesCluster(connection, place.cluster))) return undefined
    // An orphan ends at the next start and a tool's database with the tool: neither is lent.
    const isLent = (await findOwner(connection)) === 'server'
    return isLent ? { url: addressOf(file.port, password) } : undefined
  } catch {
    return undefined
  } finally {
    await connection.end({ timeout: 0 }).catch(() => undefined)
  }
}

async function own(
  launched: LaunchedServer,
  options: {
    password: string
    role: OwnerRole
    onExit: EmbeddedPostgresOptions['onExit']
  },
): Promise<Omit<EmbeddedPostgres, 'firstStart'> | undefined> {
  const { password, role } = options
  let isOver = false
  const onclose = () => {
    // The lock went with the connection; as long as the server lives it has to be taken again.
    if (!isOver) void takeOwnership(connection).catch(() => undefined)
  }
  const connection = openOwnerConnection({ port: launched.port, password, role, onclose })
  const close = () => {
    isOver = true
    return connection.end({ timeout: 0 }).catch(() => undefined)
  }
  let stopping: Promise<void> | undefined
  const stop = () => {
    isOver = true
    stopping ??= launched.stop().then(close)
    return stopping
  }
  const version = await prepare(connection).catch(() => undefined)
  if (version === undefined) {
    await stop()
    return undefined
  }
  const watch = async () => {
    const code = await launched.exited
    if (stopping !== undefined) return
    await close()
    options.onExit?.(code)
  }
  void watch()
  return { url: addressOf(launched.port, password), port: launched.port, version, stop }
}

/** Takes the lock and makes the application's database; `undefined` when another start was faster. */
async function prepare(connection: OwnerConnection): Promise<string | undefined> {
  if (!(await takeOwnership(connection))) return undefined
  const [row] = await connection`
    select current_setting('server_version') as version,
      exists (select from pg_database where datname = ${databaseName}) as exists`
  if (row?.exists !== true) await connection`create database ${connection(databaseName)}`
  return String(row?.version)
}

function addressOf(port: number, password: string): string {
  return `postgres://${databaseUser}:${password}@127.0.0.1:${port}/${databaseName}`
}
