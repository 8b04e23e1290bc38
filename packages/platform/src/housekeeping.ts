import type { Logger } from 'pino'

/**
 * Runs small clean-up tasks every ten minutes. They only remove what has expired, so it does no
 * harm that every node runs them. A failing task is logged and tried again the next time.
 */
export function startHousekeeping({
  tasks,
  log,
  intervalMs = 600_000,
}: {
  readonly tasks: readonly (() => Promise<void>)[]
  readonly log: Logger
  readonly intervalMs?: number
}): { stop(): Promise<void> } {
  let running: Promise<unknown> = Promise.resolve()
  const timer = setInterval(() => {
    running = Promise.all(
      tasks.map((task) =>
        task().catch((error: unknown) => log.warn({ err: error }, 'housekeeping failed')),
      ),
    )
  }, intervalMs)
  timer.unref()
  return {
    async stop() {
      clearInterval(timer)
      await running
    },
  }
}
