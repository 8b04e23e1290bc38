import { createApp } from '@quayside/platform/app'
import { systemClock } from '@quayside/platform/clock'
import { connectDatabase } from '@quayside/platform/database/connect'
import { defineLimitRule } from '@quayside/platform/limits/limit-store'
import { createMemoryLimitStore } from '@quayside/platform/limits/memory-limit-store'
import { createLogger } from '@quayside/platform/log/logger'
import { features } from './features.ts'

/** Every route of this backend with its access, a line each. Nothing is connected or listened on. */
export async function listRoutes(): Promise<string> {
  const clock = systemClock
  const store = createMemoryLimitStore({ clock })
  const rule = defineLimitRule({ name: 'any', quota: 1, windowSeconds: 1 })
  // The pool opens no connection before its first query, and there is none.
  const database = connectDatabase({ url: 'postgres://127.0.0.1:1/none' })
  const app = await createApp({
    version: '0',
    features,
    database,
    clock,
    log: await createLogger({ level: 'silent', format: 'json', redactSensitive: true }),
    verifiers: [],
    limits: { user: rule, address: rule, general: store, exact: store },
    http: {
      trustedProxies: [],
      clientOrigins: [],
      bodyBytesMax: 1,
      headersTimeoutMs: 1_000,
      requestTimeoutMs: 1_000,
      idleTimeoutMs: 1_000,
    },
  })
  await app.close()
  await database.close()
  const width = Math.max(...app.routes.map(({ path }) => path.length))
  return app.routes
    .map(({ method, path, access }) => `${method.padEnd(6)} ${path.padEnd(width)}  ${access}`)
    .join('\n')
}
