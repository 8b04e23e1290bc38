import postgres from 'postgres'
import { driverOptions } from './driver-options.ts'
import { isDatabaseUnavailable } from './unavailable.ts'

/**
 * Waits until PostgreSQL answers, because containers start in any order. Throws the last error
 * after `timeoutMs`, and at once for what waiting cannot mend, such as a wrong password.
 */
export async function waitForDatabase(options: {
  readonly url: string
  readonly caFile?: string | undefined
  readonly onWait: (line: string) => void
  readonly timeoutMs?: number
}): Promise<void> {
  const { url, caFile, onWait, timeoutMs = 60_000 } = options
  const until = Date.now() + timeoutMs
  for (let attempt = 0; ; attempt++) {
    const sql = postgres(url, {
      max: 1,
      connect_timeout: 2,
      onnotice: () => {},
      ...driverOptions({ url, caFile }).options,
    })
    try {
      await sql`select 1`
      return
    } catch (error) {
      if (!isDatabaseUnavailable(error) || Date.now() > until) throw error
      if (attempt === 0) onWait('Waiting for PostgreSQL to answer.')
      await new Promise((resolve) => setTimeout(resolve, 500))
    } finally {
      await sql.end({ timeout: 1 })
    }
  }
}
