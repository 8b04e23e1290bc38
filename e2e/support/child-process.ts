import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

export interface PeerProcess extends AsyncDisposable {
  /** The first line of its output that matched. */
  readonly ready: string
}

/** Runs a script on this Node until disposed; resolves at the first line that `isReady` likes. */
export async function startPeer(options: {
  readonly script: string
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly isReady: RegExp
}): Promise<PeerProcess> {
  const { script, args = [], env = {}, cwd, isReady } = options
  const child = spawn(process.execPath, [script, ...args], {
    ...(cwd !== undefined && { cwd }),
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const killWithParent = () => child.kill('SIGKILL')
  process.once('exit', killWithParent)
  child.once('exit', () => process.off('exit', killWithParent))
  const ready = await findLine(child, isReady)
  return { ready, [Symbol.asyncDispose]: () => stop(child) }
}

async function findLine(child: ChildProcess, isReady: RegExp): Promise<string> {
  if (child.stdout === null) throw new Error('The peer has no output.')
  const lines: string[] = []
  for await (const line of createInterface(child.stdout)) {
    lines.push(line)
    if (!isReady.test(line)) continue
    // What it prints later would fill the pipe and block it.
    child.stdout.resume()
    return line
  }
  throw new Error(`The peer ended before it was ready:\n${lines.join('\n')}`)
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  // Peers keep nothing that is worth an orderly end.
  child.kill('SIGKILL')
  await exited
}
