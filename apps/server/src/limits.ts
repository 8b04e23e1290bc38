import type { Clock } from '@quayside/platform/clock'
import type { Database } from '@quayside/platform/database/connect'
import type { Part } from '@quayside/platform/health'
import type { Limits } from '@quayside/platform/http/guard'
import { defineLimitRule } from '@quayside/platform/limits/limit-store'
import { createMemoryLimitStore } from '@quayside/platform/limits/memory-limit-store'
import { createPostgresLimitStore } from '@quayside/platform/limits/postgres-limit-store'
import type { Logger } from 'pino'
import type { Config } from './config.ts'

/** The limits of this server, and what has to be done for them besides. */
export interface ConnectedLimits {
  readonly limits: Limits
  readonly runsOn: string
  readonly parts: readonly Part[]
  cleanUp(): Promise<void>
  close(): Promise<void>
}

/**
 * With Redis every limit is counted there, for all nodes. Without it the general limits are this
 * process's own, and the limits that routes set for themselves are counted in PostgreSQL, because
 * those must hold across nodes.
 */
export async function connectLimits(deps: {
  config: Config
  clock: Clock
  database: Database
  log: Logger
}): Promise<ConnectedLimits> {
  const { config, clock, database, log } = deps
  const rules = {
    user: defineLimitRule({ name: 'user', quota: config.RATE_LIMIT_USER, windowSeconds: 60 }),
    address: defineLimitRule({
      name: 'address',
      quota: config.RATE_LIMIT_ADDRESS,
      windowSeconds: 60,
    }),
  }
  const memory = createMemoryLimitStore({ clock })
  if (!config.REDIS_URL) {
    const exact = createPostgresLimitStore({ sql: database.poolSql })
    return {
      limits: { ...rules, general: memory, exact },
      runsOn: 'this process, and the database for what must hold across nodes',
      parts: [],
      cleanUp: async () => void (await exact.deleteExpired()),
      close: async () => {},
    }
  }
  // Loaded only here, like the store: a server without Redis has no use for them.
  const { Redis } = await import('ioredis')
  const { createRedisLimitStore } = await import('@quayside/platform/limits/redis-limit-store')
  const redis = new Redis(config.REDIS_URL, {
    maxRetriesPerRequest: 1,
    // A connection on which packets vanish would otherwise be held until TCP gives up.
    socketTimeout: 5_000,
  })
  // Without a listener a lost connection would end the process; the store reports the change.
  redis.on('error', (error) => log.debug({ err: error }, 'Redis connection error'))
  const store = createRedisLimitStore({
    redis,
    fallback: memory,
    clock,
    onDegraded: (error) => log.error({ err: error }, 'Redis is lost; each node limits by itself'),
    onRecovered: () => log.info('Redis is back; limits are shared again'),
  })
  return {
    limits: { ...rules, general: store, exact: store },
    runsOn: `Redis (${new URL(config.REDIS_URL).host})`,
    parts: [{ name: 'redis', check: () => redis.ping() }],
    cleanUp: async () => {},
    close: async () => redis.disconnect(),
  }
}
