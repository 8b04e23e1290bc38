import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Counter, Gauge, Registry } from 'prom-client'
import { createRequestDurations } from './request-durations.ts'

export type Metrics = ReturnType<typeof createMetrics>

/**
 * Prometheus metrics of one application: requests by route, the database pool, the token cache,
 * and the process. Gauges are read when somebody asks, so an unused endpoint costs nothing.
 */
export function createMetrics(sources: MetricSources) {
  const registry = new Registry()
  const registers = [registry]
  const durations = createRequestDurations(registry)
  const delay = monitorEventLoopDelay({ resolution: 20 })
  delay.enable()
  addProcessGauges(registers, delay)
  addSourceGauges(registers, sources)

  return {
    routeObserver: durations.observer,
    contentType: registry.contentType,
    /** Everything in Prometheus' text format. */
    text: () => registry.metrics(),
    close: () => {
      delay.disable()
    },
  }
}

/** Where the numbers come from that the metrics do not count themselves. */
export interface MetricSources {
  readonly pool: () => { open: number; max: number }
  readonly tokenCache: () => { hits: number; misses: number; size: number }
}

function addSourceGauges(registers: Registry[], { pool, tokenCache }: MetricSources): void {
  new Gauge({
    name: 'quayside_database_connections',
    help: 'Connections to PostgreSQL: open now, and the most that there may be.',
    labelNames: ['state'],
    registers,
    collect() {
      const { open, max } = pool()
      this.set({ state: 'open' }, open)
      this.set({ state: 'max' }, max)
    },
  })
  new Counter({
    name: 'quayside_token_verifications_total',
    help: 'Tokens checked: answered from the cache (hit) or verified anew (miss).',
    labelNames: ['cache'],
    registers,
    collect() {
      const { hits, misses } = tokenCache()
      this.reset()
      this.inc({ cache: 'hit' }, hits)
      this.inc({ cache: 'miss' }, misses)
    },
  })
  new Gauge({
    name: 'quayside_token_cache_entries',
    help: 'Verified tokens held in the cache.',
    registers,
    collect() {
      this.set(tokenCache().size)
    },
  })
}

function addProcessGauges(
  registers: Registry[],
  delay: ReturnType<typeof monitorEventLoopDelay>,
): void {
  new Gauge({
    name: 'nodejs_eventloop_delay_seconds',
    help: 'How late the event loop ran its timers since the last time this was read.',
    labelNames: ['quantile'],
    registers,
    collect() {
      this.set({ quantile: '0.5' }, delay.percentile(50) / 1e9)
      this.set({ quantile: '0.99' }, delay.percentile(99) / 1e9)
      this.set({ quantile: '1' }, delay.max / 1e9)
      delay.reset()
    },
  })
  new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Resident memory.',
    registers,
    collect() {
      this.set(process.memoryUsage.rss())
    },
  })
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'User and system CPU time.',
    registers,
    collect() {
      const { user, system } = process.cpuUsage()
      this.reset()
      this.inc((user + system) / 1e6)
    },
  })
}
