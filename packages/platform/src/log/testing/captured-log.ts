import type { Logger } from 'pino'
import { createLogger } from '../logger.ts'
import type { LoggerOptions } from '../logger.ts'

/** A logger and what it wrote. */
export interface CapturedLog {
  readonly logger: Logger
  readonly text: () => string
  readonly lines: () => string[]
  /** The lines parsed, for the JSON format. */
  readonly records: () => Record<string, unknown>[]
}

/** A logger whose clock stands still and whose output is kept in memory. */
export async function captureLog(options: Partial<LoggerOptions> = {}): Promise<CapturedLog> {
  let text = ''
  const logger = await createLogger({
    level: 'trace',
    format: 'json',
    redactSensitive: true,
    clock: { now: () => new Date('2024-10-05T12:34:56.007Z') },
    destination: { write: (line) => void (text += line) },
    ...options,
  })
  const lines = (): string[] => text.split('\n').filter((line) => line !== '')
  return {
    logger,
    text: () => text,
    lines,
    records: () => lines().map((line) => JSON.parse(line) as Record<string, unknown>),
  }
}
