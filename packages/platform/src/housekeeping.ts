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
  let running: Promise<void> | undefined
  const runAll = async (): Promise<void> => {
    await Promise.all(tasks.map((task) => runOne(task, log)))
    running = undefined
  }
  // A round that takes longer than the interval is not overtaken by the next one.
  const timer = setInterval(() => {
    running ??= runAll()
  }, intervalMs)
  timer.unref()
  return {
    async stop() {
      clearInterval(timer)
      await running
    },
  }
}

async function runOne(task: () => Promise<void>, log: Logger): Promise<void> {
  try {
    await task()
  } catch (error) {
    log.warn({ err: error }, 'housekeeping failed')
  }
}
