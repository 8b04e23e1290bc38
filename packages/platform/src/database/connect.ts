import { AsyncLocalStorage } from 'node:async_hooks'
import { readFileSync } from 'node:fs'
import { connect as openSocket, type Socket } from 'node:net'
import postgres from 'postgres'
import { isoDate, isoTimestamp } from './timestamps.ts'

/**
 * The tagged template that repositories write SQL with. Inside `transaction` it runs on the
 * transaction's connection, everywhere else on the pool, so a repository never needs to know.
 */
export type Sql = postgres.ISql

/** Runs work in one transaction; see `createTransaction`. */
export type Transaction = <T>(work: () => Promise<T>, options?: TransactionOptions) => Promise<T>

export interface TransactionOptions {
  readonly isolation?: 'read committed' | 'repeatable read' | 'serializable'
}

export interface Database {
  readonly sql: Sql
  /** Never joins a transaction: for what must stay when the work around it is rolled back. */
  readonly poolSql: Sql
  readonly transaction: Transaction
  /** Connections of the pool, for metrics. */
  poolStats(): { open: number; max: number }
  close(): Promise<void>
}

export interface DatabaseOptions {
  readonly url: string
  readonly poolSize?: number
  /** Longest time one statement may run, in milliseconds. The server enforces it. */
  readonly statementTimeoutMs?: number
  /** Longest wait for a lock, in milliseconds. */
  readonly lockTimeoutMs?: number
  /** File with the certificate authorities to trust (for RDS: AWS's bundle). Turns TLS on. */
  readonly caFile?: string | undefined
  readonly applicationName?: string
}

/** Opens a pool on PostgreSQL 15 or newer. Nothing is sent before the first query. */
export function connectDatabase(options: DatabaseOptions): Database {
  const poolSize = options.poolSize ?? 10
  const statementTimeoutMs = options.statementTimeoutMs ?? 10_000
  const watch = createSocketWatch(statementTimeoutMs + 500)
  const driverOptions = {
    max: poolSize,
    connect_timeout: 2,
    // A database that comes back must be used again within seconds, so the wait between two
    // attempts stays short; the jitter keeps nodes from arriving together.
    backoff: (attempt: number) => Math.min(0.05 * 2 ** attempt, 1) * (0.5 + Math.random() / 2),
    onnotice: () => {},
    socket: watch.open,
    ...tlsOptions(options.caFile),
    types: {
      // Replaces the driver's own `date`, which makes Date objects: text is half the CPU time of
      // a 20-row answer and keeps what the database said.
      date: {
        to: 1184,
        from: [1082, 1114, 1184],
        serialize: (value: unknown) => (value instanceof Date ? value.toISOString() : value),
        parse: (text: string) => (text.length === 10 ? isoDate(text) : isoTimestamp(text)),
      },
    },
    connection: {
      application_name: options.applicationName ?? 'quayside',
      TimeZone: 'UTC',
      statement_timeout: statementTimeoutMs,
      lock_timeout: options.lockTimeoutMs ?? 4_000,
      idle_in_transaction_session_timeout: 30_000,
    },
  }
  // The driver honours `socket`, but its types do not know it; a variable may carry it.
  const pool = postgres(options.url, driverOptions)
  const current = new AsyncLocalStorage<postgres.TransactionSql>()
  return {
    sql: ambientSql(pool, current),
    poolSql: pool,
    transaction: createTransaction(pool, current),
    poolStats: () => ({ open: watch.openSockets(), max: poolSize }),
    async close() {
      await pool.end({ timeout: 5 })
    },
  }
}

/** The driver's TLS options for a CA file: the chain and the host name are both checked. */
export function tlsOptions(caFile: string | undefined): {
  ssl?: { ca: string; rejectUnauthorized: true }
} {
  return caFile ? { ssl: { ca: readFileSync(caFile, 'utf8'), rejectUnauthorized: true } } : {}
}

/** `sql` that follows the transaction of the calling asynchronous context. */
function ambientSql(
  pool: postgres.Sql,
  current: AsyncLocalStorage<postgres.TransactionSql>,
): Sql {
  const active = (): postgres.ISql => current.getStore() ?? pool
  const call = (first: TemplateStringsArray, ...rest: never[]) => active()(first, ...rest)
  const members: Pick<Sql, 'unsafe' | 'array' | 'json' | 'notify' | 'file' | 'typed' | 'types'> = {
    typed: pool.typed,
    types: pool.types,
    json: pool.json,
    array: pool.array,
    unsafe: (query, parameters, queryOptions) => active().unsafe(query, parameters, queryOptions),
    notify: (channel, payload) => active().notify(channel, payload),
    file: pool.file,
  }
  return Object.assign(call, members) as Sql
}

/**
 * Makes `transaction(work)`: one transaction around everything that `work` does through `sql`.
 * Called inside another transaction it becomes a savepoint: if `work` throws, only its own
 * changes are undone. A serialization failure or deadlock (40001, 40P01) runs `work` again, at
 * most three times, so `work` must be safe to repeat.
 */
function createTransaction(
  pool: postgres.Sql,
  current: AsyncLocalStorage<postgres.TransactionSql>,
): Transaction {
  return async function transaction<T>(
    work: () => Promise<T>,
    { isolation }: TransactionOptions = {},
  ): Promise<T> {
    const outer = current.getStore()
    if (outer) return (await outer.savepoint((inner) => current.run(inner, work))) as T
    const mode = isolation ? `isolation level ${isolation}` : ''
    for (let retry = 0; ; retry++) {
      try {
        return (await pool.begin(mode, (tx) => current.run(tx, work))) as T
      } catch (error) {
        if (retry === retriesMax || !isRetryable(error)) throw error
        // Two transactions that met once would meet again if they waited equally long.
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 20 * 2 ** retry))
      }
    }
  }
}

const retriesMax = 3

function isRetryable(error: unknown): boolean {
  return (
    error instanceof postgres.PostgresError && (error.code === '40001' || error.code === '40P01')
  )
}

/**
 * Opens the pool's sockets and cuts one that has been written to and has heard nothing for
 * `silenceMs`. The server ends long statements itself, so a longer silence means that packets
 * vanish; without this a request would hang until TCP gives up, a quarter of an hour later.
 */
function createSocketWatch(silenceMs: number) {
  let count = 0
  return {
    openSockets: () => count,
    open: (options: postgres.ParsedOptions): Socket => {
      const host = options.host[0] ?? '127.0.0.1'
      const port = options.port[0] ?? 5432
      const socket = options.path
        ? openSocket({ path: options.path })
        : openSocket({ host, port, keepAlive: true, noDelay: true })
      let answered = 0
      count++
      socket.on('data', () => {
        answered = socket.bytesWritten
      })
      socket.setTimeout(silenceMs, () => {
        if (socket.bytesWritten > answered) socket.destroy(new DatabaseSilence())
      })
      socket.once('close', () => {
        count--
      })
      // The driver reads these two when it starts TLS.
      return Object.assign(socket, { host, port })
    },
  }
}

class DatabaseSilence extends Error {
  override readonly name = 'DatabaseSilence'
  readonly code = 'CONNECTION_SILENT'
  constructor() {
    super('The database stopped answering.')
  }
}
