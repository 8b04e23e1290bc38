import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startPeer } from './support/child-process.ts'

// `npm run test:e2e`: installs the peers when needed, starts what all tests share, and hands every
// argument to Node's test runner (`npm run test:e2e -- --test-name-pattern=rotation cognito`).
const here = fileURLToPath(new URL('.', import.meta.url))
const options = process.argv.slice(2).filter((argument) => argument.startsWith('-'))
const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith('-'))
const files = readdirSync(here)
  .filter((file) => file.endsWith('.test.ts'))
  .filter((file) => wanted.length === 0 || wanted.some((name) => file.includes(basename(name))))

installPeers()
const stack = new AsyncDisposableStack()
let runner: ChildProcess | undefined
let interrupted = false
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    interrupted = true
    // Once it has ended, everything that was started here is put away.
    runner?.kill(signal)
  })
try {
  process.exitCode = await runTests()
} finally {
  await stack.disposeAsync()
}

async function runTests(): Promise<number> {
  if (files.length === 0) throw new Error('No test file has such a name.')
  const shared = {
    ...(await makeDataDirectory()),
    ...(await findDatabase()),
    ...(await startFirebase()),
  }
  if (interrupted) return 130
  const parameters = ['--conditions=@quayside/source', '--test', '--test-isolation=none']
  runner = spawn(
    process.execPath,
    [...parameters, ...options, ...files.map((file) => join(here, file))],
    { env: { ...process.env, ...shared }, stdio: 'inherit' },
  )
  const [code] = await once(runner, 'exit')
  return typeof code === 'number' ? code : 1
}

/** One for all servers, so that only the first has to compile its code; and for other files. */
async function makeDataDirectory(): Promise<Record<string, string>> {
  const directory = await mkdtemp(join(tmpdir(), 'quayside-e2e-data-'))
  stack.defer(() => rm(directory, { recursive: true, force: true }))
  return { E2E_DATA_DIR: directory }
}

async function findDatabase(): Promise<Record<string, string>> {
  if (process.env['TEST_DATABASE_URL']) return {}
  const { startEmbeddedPostgres } = await import('@quayside/platform/database/embedded')
  const dataDir = await mkdtemp(join(tmpdir(), 'quayside-e2e-postgres-'))
  stack.defer(() => rm(dataDir, { recursive: true, force: true }))
  const embedded = await startEmbeddedPostgres({ dataDir, durable: false })
  stack.defer(() => embedded.stop())
  return { TEST_DATABASE_URL: embedded.url }
}

/** Not waited for: it needs ten seconds of processor time, in which other tests can begin. */
async function startFirebase(): Promise<Record<string, string>> {
  if (!files.some((file) => file.includes('emulator'))) return {}
  const script = join(here, 'support/firebase-emulator.ts')
  const emulator = await startPeer({ script, args: ['demo-quayside'], isReady: /^\d+$/ })
  stack.use(emulator)
  return { E2E_FIREBASE_EMULATOR: `127.0.0.1:${emulator.ready}` }
}

function installPeers(): void {
  const installed = join(here, 'node_modules/.package-lock.json')
  const lock = join(here, 'package-lock.json')
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return
  console.log('Installing the peers into e2e/node_modules (about 400 MB, once)')
  const parameters = ['ci', '--prefix', here, '--loglevel=error']
  const shell = process.platform === 'win32'
  const { status } = spawnSync('npm', parameters, { stdio: 'inherit', shell })
  if (status !== 0) throw new Error('The peers could not be installed.')
}
