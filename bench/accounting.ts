import { readFile } from 'node:fs/promises'

/**
 * CPU time that the process has used so far, in microseconds: user and system time of all its
 * threads, also of those that ended, as Linux counts it in `/proc/<pid>/stat` (proc(5), fields 14
 * and 15; the kernel's tick is 10 ms). Undefined when the process has ended.
 */
export async function cpuMicroseconds(pid: number): Promise<number | undefined> {
  const stat = await readProc(`/proc/${pid}/stat`)
  return stat === undefined ? undefined : parseCpuMicroseconds(stat)
}

/**
 * CPU time of a process with one thread, in microseconds. PostgreSQL's backends have one, and
 * `/proc/<pid>/schedstat` counts it in nanoseconds, so that ten of them do not add up ten ticks.
 */
export async function singleThreadCpuMicroseconds(pid: number): Promise<number | undefined> {
  const schedstat = await readProc(`/proc/${pid}/schedstat`)
  if (schedstat === undefined) return cpuMicroseconds(pid)
  return Number(schedstat.split(' ')[0]) / 1000
}

/** Memory that the process holds now (`VmRSS`), in bytes. */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readProc(`/proc/${pid}/status`)
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(status ?? '')?.[1]
  if (kilobytes === undefined) throw new Error(`Process ${pid} has no resident memory to read.`)
  return Number(kilobytes) * 1024
}

/** Reads a line of `/proc/<pid>/stat`; the command in it may itself hold spaces and brackets. */
export function parseCpuMicroseconds(stat: string): number {
  const afterCommand = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(afterCommand[11]) + Number(afterCommand[12])
  if (!Number.isFinite(ticks)) throw new Error('This is not a line of /proc/<pid>/stat.')
  return ticks * MICROSECONDS_PER_TICK
}

// USER_HZ is 100 on every architecture that Node runs on.
const MICROSECONDS_PER_TICK = 10_000

async function readProc(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

function isGone(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false
  return error.code === 'ENOENT' || error.code === 'ESRCH'
}
