import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Logger } from 'pino'
import type { Clock } from '../clock.ts'
import { commonErrors, defineErrors, type ErrorCatalogue } from '../errors.ts'
import { apiKeyPrefix } from '../http/credentials.ts'
import type { ApiKeyRow, ApiKeysRepository } from './api-keys.repository.ts'
import type { Principal } from './principal.ts'

export interface ApiKeysDeps {
  readonly keys: ApiKeysRepository
  readonly clock: Clock
  readonly newId: () => string
  readonly log: Pick<Logger, 'warn'>
}

export type ApiKeys = ReturnType<typeof createApiKeys>

/**
 * Keys of services. A key is `qk_` + id + `_` + 256 random bits; only a SHA-256 of it is stored,
 * which is enough for a secret of that size. It is looked up on every request, so a revoked key
 * is refused at once, on every node.
 */
export function createApiKeys({ keys, clock, newId, log }: ApiKeysDeps) {
  return {
    /** Makes a key. `secret` is shown this one time and cannot be read again. */
    async create(input: NewApiKey): Promise<{ key: ApiKey; secret: string }> {
      if (!/^[a-z0-9][a-z0-9._-]{0,63}$/i.test(input.name)) throw errors.api_key_name_invalid()
      if (input.scopes.length === 0 || !input.scopes.every((scope) => scopeForm.test(scope)))
        throw errors.api_key_scope_invalid()
      const id = newId()
      const secret = `${apiKeyPrefix}${id.replaceAll('-', '')}_${randomBytes(32).toString('base64url')}`
      const row = await keys.insert({
        id,
        name: input.name,
        scopes: [...new Set(input.scopes)].toSorted(),
        hash: hashOf(secret),
        createdAt: clock.now().toISOString(),
        expiresAt: input.expiresAt?.toISOString() ?? null,
      })
      if (row === 'conflict') throw errors.api_key_name_taken()
      return { key: present(row), secret }
    },

    async list(): Promise<ApiKey[]> {
      return (await keys.list()).map(present)
    },

    /** Revokes by id or by name; throws `api_key_not_found` when there is no such live key. */
    async revoke(idOrName: string): Promise<void> {
      if (!(await keys.revoke(idOrName, clock.now().toISOString())))
        throw errors.api_key_not_found()
    },

    /** The principal behind a key, or `api_key_invalid` for unknown, revoked and expired ones. */
    async authenticate(secret: string): Promise<Principal> {
      const [, compactId] = keyForm.exec(secret) ?? []
      const row = compactId ? await keys.find(hyphenated(compactId)) : undefined
      const now = clock.now()
      if (!row || !timingSafeEqual(hashOf(secret), row.hash) || !isLive(row, now))
        throw commonErrors.api_key_invalid()
      recordUse(row, now)
      return {
        userId: row.id,
        subject: row.id,
        issuer: 'quayside:api-keys',
        roles: [],
        scopes: row.scopes,
        assurance: 'aal1',
        claims: { name: row.name },
        via: 'api-key',
      }
    },
  }

  // Once a minute is enough to answer "is it still in use?" and costs no write per request. A
  // failed record must not fail the request that it accompanies.
  function recordUse(row: ApiKeyRow, now: Date): void {
    if (row.lastUsedAt && now.getTime() - Date.parse(row.lastUsedAt) < 60_000) return
    keys.touch(row.id, now.toISOString()).catch((error: unknown) => {
      log.warn({ err: error }, 'recording the use of an API key failed')
    })
  }
}

export interface NewApiKey {
  readonly name: string
  readonly scopes: readonly string[]
  readonly expiresAt?: Date | undefined
}

/** An API key without its secret. */
export interface ApiKey {
  readonly id: string
  readonly name: string
  readonly scopes: readonly string[]
  readonly createdAt: string
  readonly expiresAt: string | null
  readonly lastUsedAt: string | null
  readonly revokedAt: string | null
}

/** Errors of managing API keys. */
export const apiKeyErrorCatalogue = {
  api_key_name_invalid: [400, 'A key has a name of letters, digits, dots, hyphens or underscores.'],
  api_key_scope_invalid: [400, 'A scope looks like users:read, and a key has at least one.'],
  api_key_name_taken: [409, 'There already is a live key with this name.'],
  api_key_not_found: [404, 'There is no such live key.'],
} as const satisfies ErrorCatalogue

const errors = defineErrors(apiKeyErrorCatalogue)
const scopeForm = /^[a-z][a-z0-9-]*:[a-z][a-z0-9-]*$/
const keyForm = /^qk_([0-9a-f]{32})_[A-Za-z0-9_-]{43}$/

function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

function hyphenated(id: string): string {
  return id.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

function isLive(row: ApiKeyRow, now: Date): boolean {
  if (row.revokedAt !== null) return false
  return row.expiresAt === null || Date.parse(row.expiresAt) > now.getTime()
}

function present(row: ApiKeyRow): ApiKey {
  const { hash: _, ...shown } = row
  return shown
}
