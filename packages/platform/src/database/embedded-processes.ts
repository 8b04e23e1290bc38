import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdir, readFile, realpath, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** What a running PostgreSQL says about itself in `postmaster.pid`. */
export interface PidFile {
  readonly pid: number
  readonly port: number
  readonly ready: boolean
}

/**
 * PostgreSQL puts this name into the title of each of its processes, so that those of one data
 * directory can be told from all others, also where a container hides everything but the titles.
 */
export function clusterTitle(cluster: string): string {
  return `quayside-${createHash('sha256').update(cluster).digest('hex').slice(0, 12)}`
}

/** Reads `postmaster.pid`; `damaged` when it is empty, cut off or garbage. */
export async function readPidFile(cluster: string): Promise<PidFile | 'damaged' | undefined> {
  const path = join(cluster, 'postmaster.pid')
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  return text === undefined ? undefined : parsePidFile(text)
}

/** Removes a `postmaster.pid` that belongs to no running server. */
export async function removePidFile(cluster: string, judged: PidFile | 'damaged'): Promise<void> {
  const path = join(cluster, 'postmaster.pid')
  const aside = join(cluster, `postmaster.pid.${process.pid}`)
  await rename(path, aside).catch(() => undefined)
  // Looked at again after it was taken: a server that started in between gets its file back.
  const text = await readFile(aside, 'utf8').catch(() => undefined)
  if (text === undefined) return
  const taken = parsePidFile(text)
  const isJudged = pidOf(taken) === pidOf(judged)
  await (isJudged ? rm(aside, { force: true }) : rename(aside, path))
}

/** Whether a process of this number does any work. A zombie that nobody reaps does not. */
export async function isRunning(pid: number): Promise<boolean> {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    const isForeign = error instanceof Error && 'code' in error && error.code === 'EPERM'
    if (!isForeign) return false
  }
  if (process.platform !== 'linux') return true
  return (await readCommand(pid)) !== ''
}

/** Whether this process is the server of this data directory, judged by its command line. */
export async function isServerOf(cluster: string, pid: number): Promise<boolean> {
  const all =
    process.platform === 'linux'
      ? [{ pid, command: await readCommand(pid) }]
      : await listProcesses()
  return all.some((entry) => entry.pid === pid && isServerCommand(entry.command, cluster))
}

/**
 * Ends the children that a killed server left behind: they hold its shared memory, and PostgreSQL
 * refuses to start while they do. Does nothing while a server of this directory is alive.
 */
export async function endLeftovers(cluster: string): Promise<void> {
  const title = `postgres: ${clusterTitle(cluster)}: `
  for (let round = 0; round < 100; round += 1) {
    const processes = await listProcesses()
    if (processes.some(({ command }) => isServerCommand(command, cluster))) return
    const left = processes.filter(({ command }) => command.startsWith(title))
    if (left.length === 0) return
    // Most notice by themselves within milliseconds; a busy one is asked first and then ended.
    if (round === 1 || round === 50) {
      for (const { pid } of left) sendQuietly(pid, round === 1 ? 'SIGQUIT' : 'SIGKILL')
    }
    await sleep(round === 0 ? 5 : 50)
  }
}

/** Signals the server. Windows has no signals; PostgreSQL's own tool brings them there. */
export function signalServer(pid: number, signal: 'SIGINT' | 'SIGQUIT', control: string): void {
  if (process.platform !== 'win32') return sendQuietly(pid, signal)
  spawn(control, ['kill', signal.slice(3), String(pid)], { stdio: 'ignore' }).on('error', () => {
    sendQuietly(pid, 'SIGKILL')
  })
}

/** Resolves a path as far as it exists, for comparing what two programs call the same directory. */
export async function sameDirectory(a: string, b: string): Promise<boolean> {
  const [left, right] = await Promise.all([a, b].map((path) => realpath(path).catch(() => path)))
  return left === right
}

function parsePidFile(text: string): PidFile | 'damaged' {
  const lines = text.split('\n')
  const [pid, port] = [Number(lines[0]), Number(lines[3])]
  const isWhole = lines.length >= 5 && Number.isSafeInteger(pid) && pid > 1 && port > 0
  return isWhole ? { pid, port, ready: lines[7]?.startsWith('ready') === true } : 'damaged'
}

function pidOf(file: PidFile | 'damaged'): number | undefined {
  return file === 'damaged' ? undefined : file.pid
}

function sendQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // Gone already, which is what was wanted.
  }
}

function isServerCommand(command: string, cluster: string): boolean {
  return command.includes(` -D ${cluster} `) && command.includes(clusterTitle(cluster))
}

async function readCommand(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return text.replaceAll('\0', ' ').trimEnd()
}

async function listProcesses(): Promise<Array<{ pid: number; command: string }>> {
  if (process.platform === 'win32') return []
  if (process.platform === 'linux') {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
    return Promise.all(pids.map(async (pid) => ({ pid, command: await readCommand(pid) })))
  }
  const text = await new Promise<string>((resolve) => {
    const child = spawn('ps', ['-axww', '-o', 'pid=,command='], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.on('error', () => resolve(''))
    child.on('close', () => resolve(output))
  })
  return text.split('\n').map((line) => {
    const [, pid, command] = /^\s*(\d+) (.*)$/.exec(line) ?? []
    return { pid: Number(pid), command: command ?? '' }
  })
}
