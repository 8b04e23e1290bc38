import { existsSync } from 'node:fs'
import { stopOnSignals } from '@quayside/platform/shutdown'
import { createLogger, flushLogger } from '@quayside/platform/log/logger'
import { banner } from './banner.ts'
import { ConfigurationError, loadConfig } from './config.ts'
import { openDatabase } from './open-database.ts'
import { startServer } from './server.ts'

if (existsSync('.env')) process.loadEnvFile('.env')

try {
  await run()
} catch (error) {
  // What is wrong with the environment needs a sentence, not a stack trace.
  const text = error instanceof ConfigurationError ? error.message : error
  console.error(text)
  process.exitCode = 1
}

async function run(): Promise<void> {
  const config = loadConfig(process.env)
  const log = await createLogger({
    level: config.LOG_LEVEL,
    format: config.LOG_FORMAT,
    redactSensitive: config.LOG_REDACT_SENSITIVE,
  })
  const database = await openDatabase(config, {
    role: 'server',
    onProgress: (line) => console.log(line),
    onExit: (code) => {
      log.fatal({ code }, 'the embedded PostgreSQL ended unexpectedly')
      flushLogger(log)
      process.exit(1)
    },
  })
  const server = await startServer(config, {
    databaseUrl: database.url,
    databaseName: database.name,
    log,
  }).catch(async (error: unknown) => {
    await database.stop()
    throw error
  })
  stopOnSignals({
    log,
    drainMs: config.SHUTDOWN_DRAIN_MS,
    drain: server.app.drain,
    close: async () => {
      await server.close()
      await database.stop()
      flushLogger(log)
    },
  })
  console.log(banner(server, config))
}
