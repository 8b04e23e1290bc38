import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { python } from './contestants.ts'

const run = promisify(execFile)

/**
 * Makes sure that FastAPI and its kin are there, installing Debian's packages when this is root
 * on a machine with apt. Returns their versions, or undefined when they cannot be had.
 */
export async function preparePython(): Promise<string | undefined> {
  const found = await readVersions()
  if (found !== undefined || process.getuid?.() !== 0) return found
  try {
    await aptGet('install', ...required, ...quicker)
  } catch {
    // The lists may be missing or old, or this release may lack the two that are optional.
    await aptGet('update').catch(() => {})
    await aptGet('install', ...required).catch(() => {})
  }
  return readVersions()
}

const required = [
  'python3-fastapi',
  'python3-uvicorn',
  'python3-asyncpg',
  'python3-jwt',
  'python3-cryptography',
]
const quicker = ['python3-uvloop', 'python3-httptools']

async function aptGet(action: 'install' | 'update', ...packages: string[]): Promise<void> {
  const options = action === 'install' ? ['-y', '--no-install-recommends'] : []
  const env = { DEBIAN_FRONTEND: 'noninteractive', PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }
  await run('/usr/bin/apt-get', [action, ...options, ...packages], { env })
}

async function readVersions(): Promise<string | undefined> {
  const script = `
import importlib.util, platform, fastapi, uvicorn, asyncpg, jwt, cryptography
has = lambda name: importlib.util.find_spec(name) is not None
print(f"Python {platform.python_version()}, FastAPI {fastapi.__version__}, "
      f"uvicorn {uvicorn.__version__} ({'uvloop' if has('uvloop') else 'asyncio'}, "
      f"{'httptools' if has('httptools') else 'h11'}), "
      f"asyncpg {asyncpg.__version__}, PyJWT {jwt.__version__}")`
  try {
    const { stdout } = await run(python, ['-c', script], { env: {} })
    return stdout.trim()
  } catch {
    return undefined
  }
}
