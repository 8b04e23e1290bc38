import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'

export interface ChildOptions {
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly workingDirectory: string
  /** Its output goes to this file, as a log does in production, and is quoted when it fails. */
  readonly logPath: string
  /** Answers 200 when the process is ready. */
  readonly readyUrl: string
}

export interface Child extends AsyncDisposable {
  readonly pid: number
  /** From spawning to the first 200 of `readyUrl`. */
  readonly startupMs: number
}

/** Starts a server and waits for its first 200. When that fails nothing stays behind. */
export async function startChild(options: ChildOptions): Promise<Child> {
  const log = await open(options.logPath, 'a')
  const startedMs = performance.now()
  const child = spawn(options.command, [...options.args], {
    cwd: options.workingDirectory,
    env: { ...options.env },
    stdio: ['ignore', log.fd, log.fd],
  })
  // Whatever ends this process in a hurry must not leave the child behind.
  const killWithParent = () => child.kill('SIGKILL')
  process.once('exit', killWithParent)
  child.once('exit', () => process.off('exit', killWithParent))
  try {
    await once(child, 'spawn')
    await log.close()
    await waitUntilReady(child, options)
  } catch (error) {
    await stop(child)
    const output = await readFile(options.logPath, 'utf8')
    throw new Error(`It did not start. The end of its output:\n${output.slice(-4000)}`, {
      cause: error,
    })
  }
  const startupMs = performance.now() - startedMs
  return { pid: child.pid ?? 0, startupMs, [Symbol.asyncDispose]: () => stop(child) }
}

async function waitUntilReady(child: ChildProcess, options: ChildOptions): Promise<void> {
  const deadlineMs = performance.now() + READY_WITHIN_MS
  while (performance.now() < deadlineMs) {
    if (hasEnded(child)) throw new Error(`The process ended with ${child.exitCode}.`)
    if (await answersOk(options.readyUrl)) return
    await pause(10)
  }
  throw new Error(`It was not ready within ${READY_WITHIN_MS} ms.`)
}

const READY_WITHIN_MS = 30_000
const STOPPED_WITHIN_MS = 26_000

async function answersOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { headers: { connection: 'close' } })
    await response.arrayBuffer()
    return response.status === 200
  } catch {
    return false
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || hasEnded(child)) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const lastResort = setTimeout(() => child.kill('SIGKILL'), STOPPED_WITHIN_MS)
  await exited
  clearTimeout(lastResort)
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}
