import type { Sql } from '../database/connect.ts'

/** A reply as it is stored and sent again. */
export interface StoredReply {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
}

export interface StoredReplyRow extends StoredReply {
  readonly fingerprint: Buffer
}

export type IdempotencyRepository = ReturnType<typeof createIdempotencyRepository>

/** SQL for stored replies. `tryLock`, `find` and `save` belong into one transaction. */
export function createIdempotencyRepository({ sql }: { sql: Sql }) {
  return {
    /** Holds the key until the transaction ends; false when another request holds it. */
    async tryLock(scope: string, key: string): Promise<boolean> {
      const [row] = await sql<{ locked: boolean }[]>`
        select pg_try_advisory_xact_lock(hashtextextended(${`${scope} ${key}`}, 0)) as locked`
      return row?.locked === true
    },

    /** The stored reply, if there is one that is not older than 24 hours. */
    async find(scope: string, key: string): Promise<StoredReplyRow | undefined> {
      const [row] = await sql<StoredReplyRow[]>`
        select fingerprint, status, headers, body from idempotency_keys
        where scope = ${scope} and key = ${key} and created_at > now() - interval '24 hours'`
      return row
    },

    async save(scope: string, key: string, reply: StoredReplyRow): Promise<void> {
      await sql`
        insert into idempotency_keys (scope, key, fingerprint, status, headers, body)
        values (${scope}, ${key}, ${reply.fingerprint}, ${reply.status},
          ${sql.json(reply.headers)}, ${reply.body})
        on conflict (scope, key) do update set fingerprint = excluded.fingerprint,
          status = excluded.status, headers = excluded.headers, body = excluded.body,
          created_at = excluded.created_at`
    },

    /** Removes what nobody can ask for any more; answers how many. */
    async deleteExpired(): Promise<number> {
      const rows = await sql`
        delete from idempotency_keys where created_at < now() - interval '24 hours' returning 1`
      return rows.length
    },
  }
}
