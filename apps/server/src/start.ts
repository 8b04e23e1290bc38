import { existsSync } from 'node:fs'
import { stopOnSignals } from '@quayside/platform/shutdown'
import { createLogger, flushLogger } from '@quayside/platform/log/logger'
import { banner } from './banner.ts'
import { ConfigurationError, loadConfig } from './config.ts'
import { openDatabase } from './open-database.ts'
import { type RunningServer, startServer } from './server.ts'

if (existsSync('.env')) process.loadEnvFile('.env')

// Left to itself the process would wait for whatever the failed start had opened already.
await run().catch((error: unknown) => {
  console.error(describeFailure(error))
  process.exit(1)
})

async function run(): Promise<void> {
  const config = loadConfig(process.env)
  const log = await createLogger({
    level: config.LOG_LEVEL,
    format: config.LOG_FORMAT,
    redactSensitive: config.LOG_REDACT_SENSITIVE,
  })
  const opening = openDatabase(config, {
    role: 'server',
    onProgress: (line) => console.log(line),
    onExit: (code) => {
      log.fatal({ code }, 'the embedded PostgreSQL ended unexpectedly')
      flushLogger(log)
      process.exit(1)
    },
  })
  let server: RunningServer | undefined
  let stopping = false
  // From the first moment on: who presses Ctrl-C during the start wants no PostgreSQL left behind.
  stopOnSignals({
    log,
    drainMs: config.SHUTDOWN_DRAIN_MS,
    drain: () => {
      stopping = true
      server?.app.drain()
    },
    close: async () => {
      await server?.close()
      const database = await opening.catch(() => undefined)
      await database?.stop()
      flushLogger(log)
    },
  })
  const database = await opening
  try {
    server = await startServer(config, {
      databaseUrl: database.url,
      databaseName: database.name,
      log,
    })
  } catch (error) {
    // Taking the database away from a start makes it fail, and that is no news.
    if (stopping) return
    await database.stop()
    throw error
  }
  // The log is written in batches; what happened before the banner belongs before it.
  flushLogger(log)
  console.log(banner(server, config))
}

/** A sentence for what the one who starts the server can mend; everything for what is a bug. */
function describeFailure(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const code = 'code' in error ? String(error.code) : ''
  if (code === 'EADDRINUSE')
    return `${error.message}. Stop the program that listens there, or set another PORT.`
  const isWorded = error.constructor === Error || error instanceof ConfigurationError
  if (!isWorded && (code === '' || code.startsWith('ERR_'))) return error
  return error.cause instanceof Error ? `${error.message}\n${error.cause.message}` : error.message
}
