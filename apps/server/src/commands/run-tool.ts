import { existsSync } from 'node:fs'
import { AppError } from '@quayside/platform/errors'
import { type Config, loadConfig } from '../config.ts'
import { type OpenDatabase, openDatabase } from '../open-database.ts'

export interface Tool<Order> {
  readonly usage: string
  /** What the arguments ask for; undefined when they make no sense. */
  readonly read: (args: string[]) => Order | undefined
  /** Does it, and answers the exit code. */
  readonly run: (order: Order, parts: ToolParts) => Promise<number>
}

export interface ToolParts {
  readonly config: Config
  readonly database: OpenDatabase
}

/**
 * Runs a command-line tool on the configured or embedded database: reads the arguments and the
 * environment, opens the database, and lets go of it whatever happens. Arguments that make no
 * sense end it with code 2 before anything is opened.
 */
export async function runTool<Order>({ usage, read, run }: Tool<Order>): Promise<void> {
  const order = read(process.argv.slice(2))
  if (order === undefined) {
    console.error(usage)
    process.exitCode = 2
    return
  }
  if (existsSync('.env')) process.loadEnvFile('.env')
  let opening: Promise<OpenDatabase> | undefined
  const letGo = async () => (await opening?.catch(() => undefined))?.stop()
  // Who presses Ctrl-C wants no PostgreSQL left behind.
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void letGo().finally(() => process.exit(1)))
  try {
    const config = loadConfig(process.env)
    opening = openDatabase(config, { role: 'tool', onProgress: (line) => console.error(line) })
    process.exitCode = await run(order, { config, database: await opening })
  } catch (error) {
    console.error(error instanceof Error ? describe(error) : error)
    process.exitCode = 1
  } finally {
    await letGo()
  }
}

function describe(error: Error): string {
  if (error instanceof AppError) return error.message
  const cause = error.cause instanceof Error ? `\n${error.cause.message}` : ''
  return `${error.message}${cause}`
}
