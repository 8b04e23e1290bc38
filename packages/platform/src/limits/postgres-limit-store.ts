import type { ISql } from 'postgres'
import { storedLimitKey } from './limit-key.ts'
import { assertCost } from './limit-store.ts'
import type { LimitResult, LimitRule, LimitStore } from './limit-store.ts'

/** A `LimitStore` with housekeeping. */
export interface PostgresLimitStore extends LimitStore {
  /** Removes ended windows and returns how many. Any node may run it, at any time. */
  deleteExpired(): Promise<number>
}

/**
 * Limits shared by every node on one PostgreSQL, for deployments without Redis: one statement a
 * take, timed by the database. Rejects with the driver's error when the database is away. Takes
 * the pool and not a transaction: a count must stay when the work it guards is rolled back.
 */
export function createPostgresLimitStore({ sql }: { readonly sql: ISql }): PostgresLimitStore {
  async function take(key: string, rule: LimitRule, cost = 1): Promise<LimitResult> {
    assertCost(cost)
    const rows = await takeRow(sql, storedLimitKey(key, rule), rule, cost)
    const row = rows[0]
    if (row === undefined) throw new Error('The upsert of a limit returned no row.')
    return row
  }

  async function deleteExpired(): Promise<number> {
    let total = 0
    let deleted: number
    do {
      deleted = await deleteBatch(sql)
      total += deleted
    } while (deleted === deleteBatchSize)
    return total
  }

  return { take, deleteExpired, close: async () => {} }
}

/**
 * `RETURNING` sees only new values, hence the column `allowed`: it carries the decision out. The
 * time is `clock_timestamp()`, read once and after the row's lock was waited for; `now()` would be
 * the moment the statement began, and a waiting take would judge the window by a time before it.
 */
function takeRow(sql: ISql, key: string, { quota, windowSeconds }: LimitRule, cost: number) {
  const fullWindow = sql`make_interval(secs => ${windowSeconds}::integer)`
  // Cost is subtracted, because the sum of two large integers would not fit an integer.
  const spare = sql`(${quota}::integer - ${cost}::integer)`
  return sql<LimitResult[]>`
    insert into rate_limits as held (key, window_ends_at, hits, allowed)
    values (
      ${key},
      clock_timestamp() + ${fullWindow},
      case when ${spare} >= 0 then ${cost}::integer else 0 end,
      ${spare} >= 0
    )
    on conflict (key) do update set (window_ends_at, hits, allowed) = (
      select
        live.ends_at,
        case when live.hits <= ${spare} then live.hits + ${cost}::integer else live.hits end,
        live.hits <= ${spare}
      from (select clock_timestamp() as moment) as clock
      cross join lateral (
        select
          case when held.window_ends_at > clock.moment
            then least(held.window_ends_at, clock.moment + ${fullWindow})
            else clock.moment + ${fullWindow}
          end as ends_at,
          case when held.window_ends_at > clock.moment then held.hits else 0 end as hits
      ) as live
    )
    returning
      allowed,
      greatest(0, ${quota}::integer - hits) as remaining,
      greatest(1, ceil(extract(epoch from window_ends_at - clock_timestamp())))::integer
        as "resetSeconds"
  `
}

/** Small enough that a sweep after a flood holds its row locks only for moments. */
const deleteBatchSize = 5000

async function deleteBatch(sql: ISql): Promise<number> {
  const { count } = await sql`
    delete from rate_limits where key in (
      select key from rate_limits
      where window_ends_at <= now()
      order by window_ends_at
      limit ${deleteBatchSize}
      for update skip locked
    )
  `
  return count
}
