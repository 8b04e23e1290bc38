import postgres from 'postgres'
import { singleThreadCpuMicroseconds } from './accounting.ts'

export interface BenchDatabase extends AsyncDisposable {
  /** The database that everybody works on. */
  readonly url: string
  readonly sql: postgres.Sql
  /** What the database says of itself, for example `PostgreSQL 15.20`. */
  readonly version: string
  /**
   * CPU microseconds used so far by each backend of the contestant, by process id. A name counts
   * its own connections; undefined counts all that belong to nobody who has a name.
   */
  backendCpu(applicationName: string | undefined): Promise<ReadonlyMap<number, number>>
}

/** Prefix of the application names of the harness and the peers; the server has its own. */
export const namedApplications = 'quayside-bench-'
const databaseName = 'quayside_bench'

/** Makes a fresh `quayside_bench` beside the given database, and drops it at the end. */
export async function createBenchDatabase(adminUrl: string): Promise<BenchDatabase> {
  const admin = connect(adminUrl, 1)
  try {
    // Two runs at once would drop each other's database and measure each other's load.
    const [lock] = await admin`select pg_try_advisory_lock(hashtext(${databaseName})) as mine`
    if (lock?.['mine'] !== true) throw new Error('Another bench is running on this PostgreSQL.')
    await admin.unsafe(`drop database if exists ${databaseName} with (force)`)
    await admin.unsafe(`create database ${databaseName}`)
  } catch (error) {
    await admin.end()
    throw error
  }
  const url = new URL(adminUrl)
  url.pathname = `/${databaseName}`
  const sql = connect(url.href, 2)
  const [version] = await sql`select current_setting('server_version') as text`

  return {
    url: url.href,
    sql,
    version: `PostgreSQL ${String(version?.['text']).split(' ')[0]}`,
    async backendCpu(applicationName) {
      const backends = await sql<{ pid: number }[]>`
        select pid from pg_stat_activity
        where datname = ${databaseName} and backend_type = 'client backend'
          and case when ${applicationName ?? null}::text is null
            then not starts_with(application_name, ${namedApplications})
            else application_name = ${applicationName ?? null} end`
      return readCpu(backends.map((backend) => backend.pid))
    },
    async [Symbol.asyncDispose]() {
      await sql.end({ timeout: 5 })
      await admin.unsafe(`drop database if exists ${databaseName} with (force)`)
      await admin.end({ timeout: 5 })
    },
  }
}

/** True when PostgreSQL answers there within two seconds. */
export async function answers(url: string): Promise<boolean> {
  const sql = connect(url, 1)
  try {
    await sql`select 1`
    return true
  } catch {
    return false
  } finally {
    await sql.end({ timeout: 1 })
  }
}

async function readCpu(pids: readonly number[]): Promise<ReadonlyMap<number, number>> {
  const used = new Map<number, number>()
  for (const pid of pids) {
    const microseconds = await singleThreadCpuMicroseconds(pid)
    if (microseconds === undefined) {
      throw new Error('PostgreSQL must run on this machine, or its CPU time cannot be read.')
    }
    used.set(pid, microseconds)
  }
  return used
}

function connect(url: string, max: number): postgres.Sql {
  return postgres(url, {
    max,
    connect_timeout: 2,
    onnotice: () => {},
    connection: { application_name: `${namedApplications}harness` },
  })
}
