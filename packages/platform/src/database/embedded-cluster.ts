import { randomBytes } from 'node:crypto'
import {
  chmod,
  chown,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { once } from 'node:events'
import { join, resolve } from 'node:path'
import { giveTo, type DatabaseRunner } from './embedded-account.ts'
import { isRunning } from './embedded-processes.ts'
import type { PostgresBinaries } from './embedded-binaries.ts'

/** Where one embedded database keeps its files. */
export interface DataPlace {
  readonly dataDirectory: string
  readonly cluster: string
  readonly secret: string
  readonly log: string
}

export const databaseName = 'quayside'
export const databaseUser = 'quayside'

/** Resolves the paths; makes the directory when `create` is set. */
export async function locateData(dataDir: string, create: boolean): Promise<DataPlace> {
  const made = create ? await mkdir(dataDir, { recursive: true, mode: 0o700 }) : undefined
  // Root's database runs under another user, who must be able to pass through.
  if (made !== undefined && process.getuid?.() === 0) await chmod(dataDir, 0o711)
  const dataDirectory = await realpath(dataDir).catch(() => resolve(dataDir))
  return {
    dataDirectory,
    cluster: join(dataDirectory, 'postgres'),
    secret: join(dataDirectory, 'postgres.json'),
    log: join(dataDirectory, 'postgres.log'),
  }
}

/** The database's password, or `undefined` before the first start. */
export async function readPassword(place: DataPlace): Promise<string | undefined> {
  const text = await readFile(place.secret, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw new Error(`${place.secret} cannot be read; it belongs to another user.`, { cause })
  })
  return text === undefined ? undefined : /"password":\s*"([\w-]{20,})"/.exec(text)?.[1]
}

/** The kept password, or a new one. Two first starts at once agree on the same. */
export async function keepPassword(place: DataPlace): Promise<string> {
  const kept = await readPassword(place)
  if (kept !== undefined) return kept
  if (await clusterVersion(place)) {
    throw new Error(
      `${place.cluster} holds a database, but its password file ${place.secret} is missing or ` +
        'damaged. Put the file back, or move the whole directory away to start with an empty one.',
    )
  }
  await rm(place.secret, { force: true })
  const password = randomBytes(24).toString('base64url')
  const draft = `${place.secret}.${process.pid}-${randomBytes(4).toString('hex')}`
  const content = JSON.stringify({ user: databaseUser, database: databaseName, password })
  await writeFile(draft, `${content}\n`, { mode: 0o600, flag: 'wx', flush: true })
  await keepOwner(place, draft)
  // A link appears whole or not at all, and never replaces what another start has just written.
  await link(draft, place.secret).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  await rm(draft, { force: true })
  return (await readPassword(place)) ?? password
}

/** Opens the server's log for appending, emptied first when it has passed `sizeBytesMax`. */
export async function openLog(place: DataPlace, sizeBytesMax = 5 * 1024 * 1024) {
  const log = await open(place.log, 'a', 0o600)
  if ((await log.stat()).size > sizeBytesMax) await log.truncate(0)
  await keepOwner(place, place.log)
  return log
}

/**
 * Makes the database's files unless they are there; true when it made them. The files are made in a
 * temporary sibling and renamed, so that a kill at any moment leaves nothing that is half a database.
 */
export async function createClusterOnce(deps: {
  readonly place: DataPlace
  readonly password: string
  readonly binaries: PostgresBinaries
  readonly runner: DatabaseRunner
  readonly durable: boolean
  readonly onProgress: ((message: string) => void) | undefined
}): Promise<boolean> {
  const { place, binaries } = deps
  await removeAbandoned(place)
  const version = await clusterVersion(place)
  if (version === binaries.majorVersion) return false
  if (version !== undefined) {
    throw new Error(
      `${place.cluster} was made by PostgreSQL ${version}, and this is ${binaries.majorVersion}. ` +
        'Move the data over with pg_dump of the old version, or move the directory away.',
    )
  }
  deps.onProgress?.('Creating the database files (first start only)')
  const suffix = `${process.pid}-${randomBytes(4).toString('hex')}`
  const temporary = join(place.dataDirectory, `postgres.tmp-${suffix}`)
  try {
    await mkdir(temporary, { mode: 0o700 })
    await writeFile(join(temporary, 'password'), deps.password, { mode: 0o600 })
    await giveTo(deps.runner.account, temporary)
    await runInitdb(deps, temporary)
    return await moveIntoPlace(join(temporary, 'data'), place)
  } finally {
    await rm(temporary, { recursive: true, force: true, maxRetries: 3 })
  }
}

async function clusterVersion(place: DataPlace): Promise<string | undefined> {
  const text = await readFile(join(place.cluster, 'PG_VERSION'), 'utf8').catch(() => undefined)
  return text?.trim()
}

async function runInitdb(
  deps: { binaries: PostgresBinaries; runner: DatabaseRunner; durable: boolean },
  temporary: string,
): Promise<void> {
  const parameters = ['-D', join(temporary, 'data'), '-U', databaseUser, '-E', 'UTF8']
  parameters.push('-A', 'scram-sha-256', `--pwfile=${join(temporary, 'password')}`)
  parameters.push('--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8')
  parameters.push('--no-instructions', ...(deps.durable ? [] : ['--no-sync']))
  const child = deps.runner.spawn(deps.binaries.initdb, parameters, {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  const collect = (chunk: Buffer) => (output = (output + chunk.toString()).slice(-2_000))
  child.stdout?.on('data', collect)
  child.stderr?.on('data', collect)
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`The database files could not be created.\n${output.trim()}`)
}

async function moveIntoPlace(made: string, place: DataPlace): Promise<boolean> {
  try {
    await rename(made, place.cluster)
  } catch (error) {
    // Another start was faster; its files are as good as these.
    if ((await clusterVersion(place)) !== undefined) return false
    throw error
  }
  await syncDirectory(place.dataDirectory)
  return true
}

async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** Removes what killed first starts left behind, but not what a living one is making. */
async function removeAbandoned(place: DataPlace): Promise<void> {
  for (const name of await readdir(place.dataDirectory)) {
    const pid = /^postgres\.(?:tmp|json\.)-?(\d+)-/.exec(name)?.[1]
    if (pid === undefined || (await isRunning(Number(pid)))) continue
    // An orphaned initdb may still be writing; what it adds now goes at the next start.
    const path = join(place.dataDirectory, name)
    await rm(path, { recursive: true, force: true }).catch(() => undefined)
  }
}

/** With `sudo` in a user's checkout the user keeps his own files. */
async function keepOwner(place: DataPlace, path: string): Promise<void> {
  if (process.getuid?.() !== 0) return
  const { uid, gid } = await stat(place.dataDirectory)
  await chown(path, uid, gid)
}
