import { AsyncLocalStorage } from 'node:async_hooks'
import postgres from 'postgres'

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

/** Makes the two that belong together: `sql`, and the `transaction` that it follows. */
export function createTransaction(deps: {
  readonly pool: postgres.Sql
  /** Grows with each connection of the pool that fails or ends, before the driver notices. */
  readonly losses: () => number
}): { sql: Sql; transaction: Transaction } {
  const current = new AsyncLocalStorage<Scope>()
  return { sql: ambientSql(deps.pool, current), transaction: transactionOn(deps, current) }
}

/** A transaction or savepoint that work runs in. */
interface Scope {
  readonly sql: postgres.TransactionSql
  readonly state: TransactionState
}

/** One for a transaction and all of its savepoints. */
interface TransactionState {
  /** Committed, rolled back, or lost with its connection. */
  isOver: boolean
  readonly lossesBefore: number
}

/** `sql` that follows the transaction of the calling asynchronous context. */
function ambientSql(pool: postgres.Sql, current: AsyncLocalStorage<Scope>): Sql {
  const active = (): postgres.ISql => {
    const scope = current.getStore()
    if (scope === undefined) return pool
    assertOpen(scope)
    return scope.sql
  }
  const call = (first: TemplateStringsArray, ...rest: never[]) => active()(first, ...rest)
  const members: Pick<Sql, 'unsafe' | 'array' | 'json' | 'notify' | 'file' | 'typed' | 'types'> = {
    typed: pool.typed,
    types: pool.types,
    json: pool.json,
    array: pool.array,
    unsafe: (query, parameters, queryOptions) => active().unsafe(query, parameters, queryOptions),
    notify: (channel, payload) => active().notify(channel, payload),
    file: (path: string, ...rest: never[]) => active().file(path, ...rest),
  }
  return Object.assign(call, members) as Sql
}

/**
 * Makes `transaction(work)`: one transaction around everything that `work` does through `sql`.
 * Called inside another transaction it becomes a savepoint: if `work` throws, only its own
 * changes are undone. A serialization failure or deadlock (40001, 40P01) runs `work` again, at
 * most three times, so `work` must be safe to repeat. When the connection is lost it rejects at
 * once, and whatever `work` still tries to do is refused.
 */
function transactionOn(
  { pool, losses }: Parameters<typeof createTransaction>[0],
  current: AsyncLocalStorage<Scope>,
): Transaction {
  return async function transaction<T>(
    work: () => Promise<T>,
    { isolation }: TransactionOptions = {},
  ): Promise<T> {
    const run = (sql: postgres.TransactionSql, state: TransactionState) =>
      settleWhileOpen(
        current.run({ sql, state }, async () => work()),
        state,
        losses,
      )
    const outer = current.getStore()
    if (outer) {
      assertOpen(outer)
      if (isolation) throw new Error('Only the outermost transaction can choose its isolation.')
      return (await outer.sql.savepoint((inner) => run(inner, outer.state))) as T
    }
    const mode = isolation ? `isolation level ${isolation}` : ''
    for (let retry = 0; ; retry++) {
      const state = { isOver: false, lossesBefore: losses() }
      try {
        return (await pool.begin(mode, (tx) => run(tx, state))) as T
      } catch (error) {
        if (retry === retriesMax || !isRetryable(error)) throw error
        // Two transactions that met once would meet again if they waited equally long.
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 20 * 2 ** retry))
      } finally {
        state.isOver = true
      }
    }
  }
}

/**
 * Follows `work`, but never settles when the transaction was lost with its connection. The driver
 * answers the end of the work with a commit or rollback on the connection object it once had: one
 * that was lost is either broken for good by that, or serves another transaction already, which
 * would be rolled back in the middle. The caller has its answer by then, because the driver
 * rejects when a connection closes; that takes some microtasks, hence the immediate.
 */
function settleWhileOpen<T>(
  work: Promise<T>,
  state: TransactionState,
  losses: () => number,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = (how: () => void) => {
      if (losses() === state.lossesBefore) how()
      else setImmediate(() => state.isOver || how())
    }
    work.then(
      (value) => settle(() => resolve(value)),
      (error: unknown) => settle(() => reject(error)),
    )
  })
}

/** The connection may serve somebody else by now, in the middle of another transaction. */
function assertOpen({ state }: Scope): void {
  if (state.isOver)
    throw new Error('This transaction is over; what belongs to it has to be awaited inside.')
}

const retriesMax = 3

function isRetryable(error: unknown): boolean {
  return (
    error instanceof postgres.PostgresError && (error.code === '40001' || error.code === '40P01')
  )
}
