import { pino } from 'pino'
import { createTracing, type IncomingRequest, type TracingOptions } from '../tracing.ts'
import { startCollector } from './collector.ts'

/** Tracing to a collector of the test's own, and the log lines that it wrote. */
export async function startTracing(options: Partial<TracingOptions> = {}) {
  const collector = await startCollector()
  const lines: string[] = []
  const log = pino({ base: null, timestamp: false }, { write: (line) => void lines.push(line) })
  const tracing = await createTracing({
    endpoint: collector.url,
    serviceName: 'quayside-test',
    version: '1.2.3',
    log,
    ...options,
  })
  return {
    tracing,
    collector,
    logged: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>),
    /** Flushes and gives the spans that arrived. */
    async finish() {
      await tracing.close()
      await collector.close()
      return collector.spans()
    },
  }
}

/** A request with what matters to the test. */
export function incoming(given: Partial<IncomingRequest> = {}): IncomingRequest {
  return { method: 'GET', scheme: 'http', target: '/auth/orders', ...given }
}
