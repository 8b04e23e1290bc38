import type { Logger } from 'pino'

/** The part of an OpenTelemetry span exporter that is used; `code` 0 is success. */
export interface BatchExporter<Batch> {
  export(batch: Batch, done: (result: ExportResult) => void): void
  shutdown(): Promise<void>
}

export interface ExportResult {
  readonly code: number
  readonly error?: Error
}

export interface DeliveryDeps<Batch> {
  readonly exporter: BatchExporter<Batch>
  /** The collector's origin, for the log; it holds no credentials. */
  readonly collector: string
  readonly log: Logger
}

/**
 * An exporter that says when deliveries begin to fail and when they succeed again, once each: a
 * collector that is down for a night must not fill the log.
 */
export function createDelivery<Batch>({ exporter, collector, log }: DeliveryDeps<Batch>) {
  const pending = new Set<() => void>()
  let isFailing = false

  const report = ({ code, error }: ExportResult): void => {
    const fails = code !== 0
    if (fails === isFailing) return
    isFailing = fails
    if (fails) log.warn({ collector, reason: reasonOf(error) }, 'traces cannot be delivered')
    else log.info({ collector }, 'traces are delivered again')
  }

  return {
    export(batch: Batch, done: (result: ExportResult) => void): void {
      const settle = (result: ExportResult): void => {
        if (!pending.delete(giveUp)) return
        report(result)
        done(result)
      }
      const giveUp = (): void =>
        settle({ code: 1, error: new Error('The collector did not answer in time.') })
      pending.add(giveUp)
      exporter.export(batch, settle)
    },
    shutdown: () => exporter.shutdown(),
    /** Stops waiting for the collector; what it has not taken by now counts as lost. */
    abandon(): void {
      for (const giveUp of pending) giveUp()
    },
  }
}

/** The network's code or the HTTP status where there is one: what a collector answers is its own. */
function reasonOf(error: Error | undefined): string {
  if (!error) return 'unknown'
  const code = 'code' in error ? error.code : undefined
  return typeof code === 'string' || typeof code === 'number' ? String(code) : error.message
}
