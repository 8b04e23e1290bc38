import type { Logger } from 'pino'

export interface ShutdownOptions {
  readonly log: Logger
  /** How long to go on serving after SIGTERM while load balancers turn away, in milliseconds. */
  readonly drainMs: number
  /** Reports not ready and tells clients to close their connections. */
  readonly drain: () => void
  /** Refuses new requests, waits for running ones and closes everything. */
  readonly close: () => Promise<void>
  /** After this time the process ends however far it got, in milliseconds. */
  readonly deadlineMs?: number
}

/**
 * Ends the process in order. SIGTERM (an orchestrator): not ready, then `drainMs` of normal service
 * in which keep-alive connections are asked to close, then the rest. SIGINT (somebody at a
 * terminal): at once. A second signal of either kind ends the process immediately.
 */
export function stopOnSignals(options: ShutdownOptions): void {
  const { log, drainMs, drain, close, deadlineMs = 25_000 } = options
  let stopping = false

  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    if (stopping) process.exit(1)
    stopping = true
    log.info({ signal }, 'stopping')
    setTimeout(() => {
      log.error('stopping took too long')
      process.exit(1)
    }, deadlineMs).unref()
    try {
      drain()
      if (signal === 'SIGTERM') await new Promise((resolve) => setTimeout(resolve, drainMs))
      await close()
      process.exit(0)
    } catch (error) {
      log.fatal({ err: error }, 'stopping failed')
      process.exit(1)
    }
  }

  process.on('SIGTERM', (signal) => void stop(signal))
  process.on('SIGINT', (signal) => void stop(signal))
  // An error that nobody caught: the state is unknown, but the process keeps serving. It was
  // thrown outside of any request (those have handlers of their own), and ending the process
  // would turn one bug into an outage for everybody (PocketBase 7762).
  process.on('uncaughtException', (error) => log.fatal({ err: error }, 'uncaught exception'))
  process.on('unhandledRejection', (error) => log.fatal({ err: error }, 'unhandled rejection'))
}
