import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { AppError } from '@quayside/platform/errors'
import { type Config, loadConfig } from '../config.ts'
import { type OpenDatabase, openDatabase } from '../open-database.ts'

export interface Tool {
  readonly config: Config
  readonly database: OpenDatabase
  readonly words: readonly string[]
  readonly flags: ReadonlyMap<string, string>
}

/**
 * Runs a command-line tool on the configured or embedded database: reads the environment and the
 * arguments (`word --flag value --flag`), opens the database, and lets go of it whatever happens.
 * `work` answers the exit code.
 */
export async function runTool(work: (tool: Tool) => Promise<number>): Promise<void> {
  if (existsSync('.env')) process.loadEnvFile('.env')
  let database: OpenDatabase | undefined
  try {
    const config = loadConfig(process.env)
    const { words, flags } = readArguments(process.argv.slice(2))
    database = await openDatabase(config, { role: 'tool', onProgress: (line) => console.error(line) })
    process.exitCode = await work({ config, database, words, flags })
  } catch (error) {
    console.error(error instanceof Error ? describe(error) : error)
    process.exitCode = 1
  } finally {
    await database?.stop()
  }
}

function readArguments(args: string[]) {
  const { tokens } = parseArgs({ args, strict: false, allowPositionals: true, tokens: true })
  const words: string[] = []
  const flags = new Map<string, string>()
  let open: string | undefined
  for (const token of tokens) {
    if (token.kind === 'option') {
      flags.set(token.name, token.value ?? '')
      open = token.value === undefined ? token.name : undefined
    } else if (token.kind === 'positional') {
      if (open === undefined) words.push(token.value)
      else flags.set(open, token.value)
      open = undefined
    }
  }
  return { words, flags }
}

function describe(error: Error): string {
  if (error instanceof AppError) return error.message
  const cause = error.cause instanceof Error ? `\n${error.cause.message}` : ''
  return `${error.message}${cause}`
}
