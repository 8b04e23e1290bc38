import { arch, availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os'

/**
 * The machine in the words that a reader needs to compare figures; no names, no paths. To be asked
 * before the work begins, for the load average tells what else was running.
 */
export function describeMachine(): string[] {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor'
  const gibibytes = Math.round(totalmem() / 2 ** 30)
  return [
    `${availableParallelism()} × ${model} (${arch()}), ${gibibytes} GiB of memory`,
    `Load average ${loadavg()[0]?.toFixed(1)} before the start`,
    `${type()} ${release().split('-')[0]}`,
    `Node ${process.versions.node}`,
  ]
}
