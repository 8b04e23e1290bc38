import postgres from 'postgres'
import { setTimeout as sleep } from 'node:timers/promises'
import { databaseUser, type DataPlace } from './embedded-cluster.ts'
import {
  endLeftovers,
  isRunning,
  isServerOf,
  type PidFile,
  readPidFile,
  removePidFile,
  sameDirectory,
  signalServer,
} from './embedded-processes.ts'

/** Who a database is running for. A `server` is there to stay; a `tool` ends within seconds. */
export type OwnerRole = 'server' | 'tool'

export type OwnerConnection = postgres.Sql

/** Any fixed number does: advisory locks are counted per database, and this one is ours alone. */
const ownerLock = 1_903_518_073

/**
 * A single lasting connection to the maintenance database. The owner of a running server holds a
 * lock on it; the kernel closes it when the owner dies, however it dies, and the lock is free again.
 */
export function openOwnerConnection(options: {
  readonly port: number
  readonly password: string
  readonly role: OwnerRole
  readonly onclose?: () => void
}): OwnerConnection {
  return postgres({
    host: '127.0.0.1',
    port: options.port,
    user: databaseUser,
    password: options.password,
    database: 'postgres',
    max: 1,
    ssl: false,
    connect_timeout: 2,
    idle_timeout: 0,
    // The driver's default renews connections after half an hour, and the lock would go with it.
    max_lifetime: null,
    fetch_types: false,
    onnotice: () => undefined,
    ...(options.onclose && { onclose: options.onclose }),
    connection: { application_name: ownerName(options.role) },
  })
}

function ownerName(role: OwnerRole): string {
  return `quayside owner (${role})`
}

/** Takes the owner's lock on this connection; false when another one holds it. */
export async function takeOwnership(connection: OwnerConnection): Promise<boolean> {
  const [row] = await connection`select pg_try_advisory_lock(${ownerLock}) as taken`
  return row?.taken === true
}

/** Who holds the owner's lock, if anybody. */
export async function findOwner(connection: OwnerConnection): Promise<OwnerRole | undefined> {
  const [row] = await connection`
    select a.application_name as name
    from pg_locks l join pg_stat_activity a using (pid)
    where l.locktype = 'advisory' and l.classid = 0 and l.objid = ${ownerLock} and l.granted
      and l.database = (select oid from pg_database where datname = current_database())`
  if (row === undefined) return undefined
  return row.name === ownerName('server') ? 'server' : 'tool'
}

/** Whether this connection leads to the server of this data directory and not to another one. */
export async function servesCluster(
  connection: OwnerConnection,
  cluster: string,
): Promise<boolean> {
  const [row] = await connection`select current_setting('data_directory') as directory`
  return sameDirectory(String(row?.directory), cluster)
}

/**
 * Makes sure that no server runs on this data directory, or throws: an orphan whose owner is dead is
 * shut down, a dead one's leftovers are removed, a tool is waited for, a living owner is respected.
 */
export async function clearTheWay(deps: {
  readonly place: DataPlace
  readonly password: string
  readonly control: string
  readonly waitForToolMs: number
}): Promise<void> {
  const started = performance.now()
  for (;;) {
    const state = await examine(deps)
    if (state === 'free') return
    if (state === 'server') {
      throw new Error(
        `Another Quayside is running on ${deps.place.dataDirectory}. Stop it first, or give this ` +
          'one a directory of its own with QUAYSIDE_DATA_DIR.',
      )
    }
    // Recovery after a crash can take long; a tool that does not end is somebody's open terminal.
    const patienceMs = state === 'tool' ? deps.waitForToolMs : 60_000
    if (performance.now() - started > patienceMs) {
      throw new Error(
        state === 'tool'
          ? `A Quayside command is still using ${deps.place.dataDirectory}. Wait for it to end.`
          : `The PostgreSQL on ${deps.place.cluster} neither answers nor ends; see ${deps.place.log}.`,
      )
    }
    await sleep(state === 'again' ? 5 : 50)
  }
}

type State = OwnerRole | 'free' | 'busy' | 'again'

async function examine(deps: {
  readonly place: DataPlace
  readonly password: string
  readonly control: string
}): Promise<State> {
  const { cluster } = deps.place
  const file = await readPidFile(cluster)
  if (file === undefined) return 'free'
  if (file === 'damaged') {
    // A server that starts this very moment writes the file in one go, so a second look decides.
    await sleep(50)
    if ((await readPidFile(cluster)) === 'damaged') await removePidFile(cluster, file)
    return 'again'
  }
  if (!(await isRunning(file.pid))) {
    await endLeftovers(cluster)
    await removePidFile(cluster, file)
    return 'free'
  }
  const answer = await askServer(deps, file)
  if (answer !== 'stranger') return answer
  if (await isServerOf(cluster, file.pid)) return 'busy'
  await removePidFile(cluster, file)
  return 'again'
}

async function askServer(
  deps: { place: DataPlace; password: string; control: string },
  file: PidFile,
): Promise<State | 'stranger'> {
  const { port } = file
  const connection = openOwnerConnection({ port, password: deps.password, role: 'tool' })
  try {
    if (!(await servesCluster(connection, deps.place.cluster))) return 'stranger'
    if (!(await takeOwnership(connection))) return (await findOwner(connection)) ?? 'again'
    // Nobody owns it: the process that started it is dead. Nobody else can take it over now.
    await endOrphan(deps, file)
    return 'again'
  } catch (error) {
    // 57P03: it is one, and it is just starting up or shutting down.
    return error instanceof postgres.PostgresError && error.code === '57P03' ? 'busy' : 'stranger'
  } finally {
    await connection.end({ timeout: 0 }).catch(() => undefined)
  }
}

async function endOrphan(deps: { place: DataPlace; control: string }, file: PidFile) {
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) {
    signalServer(file.pid, signal, deps.control)
    const started = performance.now()
    while (performance.now() - started < 10_000) {
      const now = await readPidFile(deps.place.cluster)
      const isGone = now === undefined || now === 'damaged' || now.pid !== file.pid
      if (isGone || !(await isRunning(file.pid))) return
      await sleep(5)
    }
  }
}
