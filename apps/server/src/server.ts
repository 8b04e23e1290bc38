import { isGatewaySecret } from '@quayside/platform/auth/gateway.verifier'
import { createApp, type QuaysideApp } from '@quayside/platform/app'
import { systemClock } from '@quayside/platform/clock'
import { connectDatabase } from '@quayside/platform/database/connect'
import { migrate } from '@quayside/platform/database/migrate'
import { waitForDatabase } from '@quayside/platform/database/wait'
import { startHousekeeping } from '@quayside/platform/housekeeping'
import { createTracing } from '@quayside/platform/tracing/tracing'
import type { Logger } from 'pino'
import type { Config } from './config.ts'
import { features } from './features.ts'
import { connectLimits } from './limits.ts'
import { serverMigrations } from './migrations.ts'
import { watchOpenRequests } from './open-requests.ts'
import { releaseStartupMemory } from './startup-memory.ts'
import { createVerifiers } from './verifiers.ts'
import { version } from './version.ts'

/** A running backend. */
export interface RunningServer {
  readonly app: QuaysideApp
  /** Where it listens, for example `http://127.0.0.1:8080`. */
  readonly url: string
  /** Which part runs on what, for the banner: name and description. */
  readonly parts: readonly (readonly [name: string, runsOn: string])[]
  /** Stops listening, finishes what is running and closes every connection. */
  close(): Promise<void>
}

/** Migrates the database at `databaseUrl`, wires everything and listens. */
export async function startServer(
  config: Config,
  { databaseUrl, databaseName, log }: { databaseUrl: string; databaseName: string; log: Logger },
): Promise<RunningServer> {
  const clock = systemClock
  // First, because it needs nobody else: a wrong setting is refused before anything is touched.
  const { verifiers, gateway } = await createVerifiers(config, clock)
  const caFile = config.DATABASE_CA_FILE
  await waitForDatabase({ url: databaseUrl, caFile, onWait: (line) => log.warn(line) })
  await migrate(databaseUrl, await serverMigrations(), {
    caFile,
    onApply: ({ feature, name }) => log.info({ feature, migration: name }, 'migration applied'),
  })
  const database = connectDatabase({
    url: databaseUrl,
    caFile,
    poolSize: config.DATABASE_POOL_SIZE,
    statementTimeoutMs: config.DATABASE_STATEMENT_TIMEOUT_MS,
    lockTimeoutMs: config.DATABASE_LOCK_TIMEOUT_MS,
  })
  const limits = await connectLimits({ config, clock, database, log })
  const endpoint = config.OTEL_EXPORTER_OTLP_ENDPOINT
  const tracing = endpoint
    ? await createTracing({ endpoint, serviceName: config.OTEL_SERVICE_NAME, version, log })
    : undefined
  const app = await createApp({
    version,
    features,
    database,
    clock,
    log,
    verifiers,
    gateway: gateway && { verifier: gateway, isTrusted: gatewayCheck(config) },
    limits: limits.limits,
    parts: limits.parts,
    tracing,
    http: {
      trustedProxies: config.trustedProxies,
      clientOrigins: config.clientOrigins,
      bodyBytesMax: config.BODY_BYTES_MAX,
      headersTimeoutMs: config.HEADERS_TIMEOUT_MS,
      requestTimeoutMs: config.REQUEST_TIMEOUT_MS,
      idleTimeoutMs: config.IDLE_TIMEOUT_MS,
    },
  })
  const housekeeping = startHousekeeping({ log, tasks: [app.cleanUp, limits.cleanUp] })
  releaseStartupMemory()
  const requests = watchOpenRequests(app.http.server)
  const url = await app.http.listen({ host: config.HOST, port: config.PORT })
  const issuers = gateway ? [...verifiers, gateway] : verifiers
  return {
    app,
    url,
    parts: [
      ['database', databaseName],
      ['limits', limits.runsOn],
      [
        'tokens of',
        issuers.map(({ name, issuer }) => `${name} (${issuer})`).join(', ') || 'nobody yet',
      ],
    ],
    async close() {
      const closing = app.close()
      await requests.finish(patienceMs)
      await closing
      await tracing?.close()
      await housekeeping.stop()
      await limits.close()
      await database.close()
    },
  }
}

/** How long running requests may take when the server closes: well within the deadline of 25 s. */
const patienceMs = 15_000

function gatewayCheck({ gatewaySecrets }: Config) {
  return (request: { headers: Record<string, unknown> }): boolean => {
    const given = request.headers['x-gateway-secret']
    return typeof given === 'string' && isGatewaySecret(given, gatewaySecrets)
  }
}
