import { spawn } from 'node:child_process'
import { startEmbeddedPostgres } from '@quayside/platform/database/embedded'

// Runs the tests: first on an embedded PostgreSQL of their own, then, where TEST_DATABASE_URL or
// TEST_REDIS_URL name real services, on those too. `--services` runs only the second part, and
// other arguments go to the test runner, for example a file.
const { TEST_DATABASE_URL: databaseUrl, TEST_REDIS_URL: redisUrl, ...env } = process.env
const args = process.argv.slice(2)
const servicesOnly = args.includes('--services')
const rest = args.filter((arg) => arg !== '--services')

const codes: number[] = []
if (!servicesOnly) codes.push(await onEmbedded({}))
if (databaseUrl) codes.push(await run({ TEST_DATABASE_URL: databaseUrl, ...redis() }))
else if (redisUrl) codes.push(await onEmbedded(redis()))
process.exitCode = codes.length === 0 ? 1 : Math.max(...codes)

function redis(): Record<string, string> {
  return redisUrl ? { TEST_REDIS_URL: redisUrl } : {}
}

async function onEmbedded(extra: Record<string, string>): Promise<number> {
  const database = await startEmbeddedPostgres({
    dataDir: '.quayside/test',
    durable: false,
    onProgress: (line) => console.log(line),
  })
  try {
    return await run({ TEST_DATABASE_URL: database.url, ...extra })
  } finally {
    await database.stop()
  }
}

function run(extra: Record<string, string>): Promise<number> {
  const files =
    rest.length > 0 ? rest : ['packages/*/src/**/*.test.ts', 'apps/server/src/**/*.test.ts']
  const child = spawn(
    process.execPath,
    ['--conditions=@quayside/source', '--test', '--test-isolation=none', ...files],
    { stdio: 'inherit', env: { ...env, ...extra } },
  )
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve(code ?? 1))
  })
}
