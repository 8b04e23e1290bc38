import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

/** A program of this server, running in a process and a directory of its own. */
export interface ServerProgram {
  readonly child: ChildProcess
  /** Everything that it wrote to standard output and to standard error so far. */
  stdout(): string
  stderr(): string
  /** Resolves with what `pattern` finds on standard output, or rejects when the program ended. */
  printed(pattern: RegExp): Promise<RegExpExecArray>
  /** The exit code, or the name of the signal that ended it. */
  readonly exit: Promise<number | string>
}

/** A server that answers. */
export interface ServerProcess extends ServerProgram {
  /** For example `http://127.0.0.1:34567`. */
  readonly url: string
}

type Environment = Readonly<Record<string, string>>

/**
 * Runs `main.ts` or a command with this environment and nothing of the test's own. It works in an
 * empty directory, so that no `.env` is found, and is killed when the test ends.
 */
export function runProgram(
  t: Pick<TestContext, 'after'>,
  file: 'main.ts' | 'commands/keys.ts' | 'commands/migrate.ts',
  { env = {}, args = [] }: { env?: Environment; args?: readonly string[] },
): ServerProgram {
  const cwd = mkdtempSync(join(tmpdir(), 'quayside-server-'))
  const program = new URL(`../${file}`, import.meta.url).pathname
  const child = spawn(process.execPath, ['--conditions=@quayside/source', program, ...args], {
    cwd,
    // Compiled code is kept between the many starts of a test run, which halves their time.
    env: { PATH: process.env['PATH'] ?? '', NODE_COMPILE_CACHE: compileCache, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name].on('data', (chunk: Buffer) => (output[name] += chunk.toString()))
  const exit = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string)
  t.after(async () => {
    child.kill('SIGKILL')
    await exit
    rmSync(cwd, { recursive: true, force: true })
  })
  return {
    child,
    exit,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    async printed(pattern) {
      for (;;) {
        const found = pattern.exec(output.stdout)
        if (found) return found
        const ended = await Promise.race([exit, once(child.stdout, 'data').then(() => undefined)])
        if (ended !== undefined)
          throw new Error(`It ended with ${ended}.\n${output.stdout}\n${output.stderr}`)
      }
    },
  }
}

const compileCache = join(tmpdir(), 'quayside-test-compile-cache')

/** Starts the server on a free port and waits until it listens. */
export async function startServerProcess(
  t: Pick<TestContext, 'after'>,
  env: Environment,
): Promise<ServerProcess> {
  const program = runProgram(t, 'main.ts', {
    env: { PORT: '0', LOG_LEVEL: 'warn', SHUTDOWN_DRAIN_MS: '300', ...env },
  })
  const [, url = ''] = await program.printed(/is listening on (http:\S+)/)
  return { ...program, url }
}
