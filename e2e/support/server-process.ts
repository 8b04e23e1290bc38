import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { makeTemporaryDirectory } from './temporary-directory.ts'
import { createTestDatabase, type TestDatabase } from './test-database.ts'

export type ServerEnvironment = Readonly<Record<string, string>>

export interface ServerProcess extends AsyncDisposable {
  readonly url: string
  readonly database: TestDatabase
  /** All that it printed so far, banner and log. */
  output(): string
  /** Moves the server's clock ahead. */
  moveClock(milliseconds: number): Promise<void>
}

/**
 * Starts the real server, as `npm start` does, on an empty database of its own or on one that
 * another server has too. Disposing stops it as an orchestrator would, and fails if it does not end
 * in order.
 */
export async function startServer(
  env: ServerEnvironment,
  shared?: TestDatabase,
): Promise<ServerProcess> {
  await using stack = new AsyncDisposableStack()
  const database = shared ?? stack.use(await createTestDatabase())
  const directory = stack.use(await makeTemporaryDirectory())
  const child = spawnServer(directory.path, { DATABASE_URL: database.url, ...env })
  stack.defer(() => kill(child))
  const url = await readAddress(child)
  const owned = stack.move()
  return {
    url,
    database,
    output: child.output,
    async moveClock(moveMs) {
      const done = once(child.process, 'message')
      child.process.send({ moveMs })
      await done
    },
    async [Symbol.asyncDispose]() {
      await using rest = owned.move()
      rest.defer(() => stop(child))
    },
  }
}

/** Starts the server with an environment that it must refuse; resolves to what it said. */
export async function failToStart(env: ServerEnvironment): Promise<string> {
  await using directory = await makeTemporaryDirectory()
  // Nobody listens there: the refusal has to come before the database is asked anything.
  const nowhere = 'postgres://nobody@127.0.0.1:1/nothing'
  const child = spawnServer(directory.path, { DATABASE_URL: nowhere, ...env })
  const timer = setTimeout(() => child.process.kill('SIGKILL'), startWithinMs)
  const [code] = await once(child.process, 'close')
  clearTimeout(timer)
  assert.equal(code, 1, `It did not refuse to start:\n${child.output()}`)
  return child.output()
}

const startWithinMs = 30_000
const main = fileURLToPath(new URL('../../apps/server/src/main.ts', import.meta.url))
const clock = new URL('movable-clock.ts', import.meta.url).href

interface ServerChild {
  readonly process: ChildProcess & { send(message: unknown): boolean }
  output(): string
}

/** With a fixed environment and in an empty directory, so that no setting or `.env` leaks in. */
function spawnServer(directory: string, env: ServerEnvironment): ServerChild {
  const child = spawn(
    process.execPath,
    ['--conditions=@quayside/source', '--import', clock, main],
    {
      cwd: directory,
      env: {
        PATH: process.env['PATH'],
        QUAYSIDE_DATA_DIR: process.env['E2E_DATA_DIR'] ?? directory,
        PORT: '0',
        SHUTDOWN_DRAIN_MS: '0',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    },
  ) as ServerChild['process']
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => (output += text))
  // Whatever ends this process in a hurry must not leave the server behind.
  const killWithParent = () => child.kill('SIGKILL')
  process.once('exit', killWithParent)
  child.once('exit', () => process.off('exit', killWithParent))
  return { process: child, output: () => output }
}

async function readAddress({ process: child, output }: ServerChild): Promise<string> {
  const signal = AbortSignal.timeout(startWithinMs)
  while (isRunning(child)) {
    const address = /is listening on (http:\/\/\S+)/.exec(output())?.[1]
    if (address !== undefined) return address
    await Promise.race([
      once(child.stdout ?? child, 'data', { signal }),
      once(child, 'exit', { signal }),
    ])
  }
  throw new Error(`The server did not start:\n${output()}`)
}

async function stop({ process: child, output }: ServerChild): Promise<void> {
  if (isRunning(child)) {
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
  assert.equal(child.exitCode, 0, `The server did not end in order:\n${output()}`)
}

async function kill({ process: child }: ServerChild): Promise<void> {
  if (!isRunning(child)) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}
