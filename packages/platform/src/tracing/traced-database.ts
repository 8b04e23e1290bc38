import type { Database, Sql } from '../database/connect.ts'
import type { Tracing } from './tracing.ts'

/** The same database, with a span for each query. Made only when the server traces. */
export function traceDatabase(database: Database, tracing: Pick<Tracing, 'runQuery'>): Database {
  return {
    ...database,
    sql: traceSql(database.sql, tracing),
    poolSql: traceSql(database.poolSql, tracing),
  }
}

function traceSql(sql: Sql, tracing: Pick<Tracing, 'runQuery'>): Sql {
  const watch = <T>(made: T): T => {
    if (isQuery(made)) watchQuery(made, tracing)
    return made
  }
  const call = (first: TemplateStringsArray, ...rest: never[]) => watch(sql(first, ...rest))
  return Object.assign(call, sql, {
    unsafe: (...args: Parameters<Sql['unsafe']>) => watch(sql.unsafe(...args)),
  }) as Sql
}

/** What postgres.js keeps on a query; `string` is the text that went to the server. */
interface DriverQuery extends Promise<unknown> {
  handle: () => Promise<void>
  readonly executed: boolean
  readonly strings: readonly string[]
  readonly string?: string
}

function isQuery(made: unknown): made is DriverQuery {
  return made instanceof Promise && 'handle' in made && 'strings' in made
}

/**
 * Hooks in where the driver starts a query, which every way of awaiting one goes through. A query
 * that becomes part of another one is never started, so it gets no span of its own.
 */
function watchQuery(query: DriverQuery, tracing: Pick<Tracing, 'runQuery'>): void {
  const start = query.handle
  query.handle = async () => {
    if (query.executed) return
    const text = () => query.string ?? query.strings.join('?')
    const run = () => {
      const started = start.call(query)
      // `then` of the query itself would call `handle` again; the plain one only listens.
      return Promise.all([started, Promise.prototype.then.call(query)])
    }
    tracing.runQuery(text, run).catch(ignore)
  }
}

function ignore(): void {
  // The caller of the query has the result or the error; here it was only watched.
}
