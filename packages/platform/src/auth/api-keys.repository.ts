import type { Sql } from '../database/connect.ts'

export interface ApiKeyRow {
  readonly id: string
  readonly name: string
  readonly scopes: string[]
  readonly hash: Buffer
  readonly createdAt: string
  readonly expiresAt: string | null
  readonly lastUsedAt: string | null
  readonly revokedAt: string | null
}

export type ApiKeysRepository = ReturnType<typeof createApiKeysRepository>

/** SQL for API keys. */
export function createApiKeysRepository({ sql }: { sql: Sql }) {
  const columns = () => sql`id, name, scopes, hash, created_at as "createdAt",
    expires_at as "expiresAt", last_used_at as "lastUsedAt", revoked_at as "revokedAt"`
  return {
    async find(id: string): Promise<ApiKeyRow | undefined> {
      const [row] = await sql<ApiKeyRow[]>`select ${columns()} from api_keys where id = ${id}`
      return row
    },

    async list(): Promise<ApiKeyRow[]> {
      return sql<ApiKeyRow[]>`select ${columns()} from api_keys order by created_at, id`
    },

    // Not `sql.array`: it needs what the driver learns when it first connects, and creating a key
    // is often the first thing a process does.
    async insert(
      key: Omit<ApiKeyRow, 'lastUsedAt' | 'revokedAt'>,
    ): Promise<ApiKeyRow | 'conflict'> {
      const [row] = await sql<ApiKeyRow[]>`
        insert into api_keys (id, name, scopes, hash, created_at, expires_at)
        values (${key.id}, ${key.name}, string_to_array(${key.scopes.join(' ')}, ' '), ${key.hash},
          ${key.createdAt}, ${key.expiresAt})
        on conflict (name) where revoked_at is null do nothing
        returning ${columns()}`
      return row ?? 'conflict'
    },

    async revoke(idOrName: string, at: string): Promise<boolean> {
      const rows = await sql`
        update api_keys set revoked_at = ${at}
        where (id::text = ${idOrName} or name = ${idOrName}) and revoked_at is null
        returning id`
      return rows.length > 0
    },

    async touch(id: string, at: string): Promise<void> {
      await sql`update api_keys set last_used_at = ${at} where id = ${id}`
    },
  }
}
