import type { JWTPayload } from 'jose'
import { v7 as uuidv7 } from 'uuid'
import { createApp, type HttpOptions, type QuaysideApp } from '../app.ts'
import { createApiKeys } from '../auth/api-keys.ts'
import { createApiKeysRepository } from '../auth/api-keys.repository.ts'
import type { Feature } from '../feature.ts'
import { defineLimitRule, type LimitRule } from '../limits/limit-store.ts'
import { createMemoryLimitStore } from '../limits/memory-limit-store.ts'
import { createPostgresLimitStore } from '../limits/postgres-limit-store.ts'
import { createLogger } from '../log/logger.ts'
import { createFakeClock, type FakeClock } from './fake-clock.ts'
import { createOutbound, type Outbound } from './outbound.ts'
import { createTestClient, type TestClient } from './test-client.ts'
import { createTestDatabase, type TestDatabase } from './test-database.ts'
import { createTestIssuer, type TestIssuer } from './test-issuer.ts'

/** The real application on a real database of its own. Only the clock and the outside are fake. */
export interface TestApp {
  readonly app: QuaysideApp
  readonly database: TestDatabase
  readonly clock: FakeClock
  readonly outbound: Outbound
  readonly issuer: TestIssuer
  /** Lines that were logged, parsed. */
  readonly logged: () => Record<string, unknown>[]
  /** A client for a person; the same name is always the same person. */
  as(subject: string, claims?: JWTPayload): TestClient
  /** A client for a service with a key of these scopes. */
  asService(...scopes: readonly [string, ...string[]]): TestClient
  /** A client that proves nothing. */
  readonly anybody: TestClient
  close(): Promise<void>
}

export interface TestAppOptions {
  readonly http?: Partial<HttpOptions>
  readonly limits?: { readonly user?: LimitRule; readonly address?: LimitRule }
}

/** Starts the application with these features; the first is usually `identity`. */
export async function createTestApp(
  features: readonly Feature[],
  { http = {}, limits = {} }: TestAppOptions = {},
): Promise<TestApp> {
  const clock = createFakeClock()
  const database = await createTestDatabase(features)
  const issuer = await createTestIssuer({ clock })
  const outbound = createOutbound()
  const lines: string[] = []
  const log = await createLogger({
    level: 'debug',
    format: 'json',
    redactSensitive: true,
    destination: { write: (line: string) => void lines.push(line) },
  })
  const many = { quota: 1_000_000, windowSeconds: 60 }
  const app = await createApp({
    version: '0.0.0-test',
    features,
    database,
    clock,
    log,
    verifiers: [issuer.verifier],
    limits: {
      user: defineLimitRule(limits.user ?? { name: 'user', ...many }),
      address: defineLimitRule(limits.address ?? { name: 'address', ...many }),
      general: createMemoryLimitStore({ clock }),
      exact: createPostgresLimitStore({ sql: database.poolSql }),
    },
    fetch: outbound.fetch,
    http: {
      trustedProxies: [],
      clientOrigins: [],
      bodyBytesMax: 1_048_576,
      headersTimeoutMs: 10_000,
      requestTimeoutMs: 30_000,
      idleTimeoutMs: 75_000,
      ...http,
    },
  })
  const keys = createApiKeys({
    keys: createApiKeysRepository(database),
    clock,
    newId: () => uuidv7(),
    log,
  })
  let keyCount = 0
  return {
    app,
    database,
    clock,
    outbound,
    issuer,
    logged: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>),
    as: (subject, claims) =>
      createTestClient(app.http, async () => ({
        authorization: `Bearer ${await issuer.token(subject, claims)}`,
      })),
    asService(...scopes) {
      const made = keys.create({ name: `test-${++keyCount}`, scopes })
      return createTestClient(app.http, async () => ({ 'x-api-key': (await made).secret }))
    },
    anybody: createTestClient(app.http, async () => ({})),
    async close() {
      await app.close()
      await database.close()
    },
  }
}
