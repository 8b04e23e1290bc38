import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process'
import { chmod, lchown, readdir, readFile, stat } from 'node:fs/promises'
import { dirname, join, parse } from 'node:path'

/** The system user the database runs under. */
export interface Account {
  readonly uid: number
  readonly gid: number
}

export interface DatabaseRunner {
  /** Set only when this process is root; otherwise the database runs under the invoking user. */
  readonly account: Account | undefined
  readonly spawn: (program: string, parameters: string[], options: SpawnOptions) => ChildProcess
}

/**
 * PostgreSQL refuses to run as root. For root this picks an unprivileged system user (the owner of
 * the existing data, else `quayside`, else `nobody`); for anybody else it runs programs as they are.
 * Throws an `Error` when that user could not reach the programs or the data.
 */
export async function createDatabaseRunner(options: {
  readonly dataDirectory: string
  readonly cluster: string
  readonly programs: readonly string[]
}): Promise<DatabaseRunner> {
  const cwd = parse(options.dataDirectory).root
  // A small fixed environment: PGDATA, PGPORT and the like of the invoking shell must not leak in.
  const base: SpawnOptions = {
    cwd,
    env: { LC_ALL: 'C', TZ: 'UTC', PATH: '/usr/bin:/bin:/usr/sbin:/sbin' },
  }
  if (process.getuid?.() !== 0) {
    return { account: undefined, spawn: (p, a, more) => spawn(p, a, { ...base, ...more }) }
  }
  const account = await chooseAccount(options.cluster)
  await allowExecution(options.programs)
  const closed = await findClosedDirectory(account, [
    options.dataDirectory,
    ...options.programs.map((program) => dirname(program)),
  ])
  if (closed === undefined) {
    return { account, spawn: (p, a, more) => spawn(p, a, { ...base, ...more, ...account }) }
  }
  const drop = [...(await capabilityArguments(account, closed)), '--']
  return {
    account,
    spawn: (p, a, more) => spawn('setpriv', [...drop, p, ...a], { ...base, ...more }),
  }
}

/** Gives a file or a tree to the database's user. Nothing to do for anybody but root. */
export async function giveTo(account: Account | undefined, path: string): Promise<void> {
  if (account === undefined) return
  await lchown(path, account.uid, account.gid)
  const entries = await readdir(path, { withFileTypes: true }).catch(() => [])
  for (const entry of entries) {
    const child = join(path, entry.name)
    await (entry.isDirectory() ? giveTo(account, child) : lchown(child, account.uid, account.gid))
  }
}

async function chooseAccount(cluster: string): Promise<Account> {
  // A data directory that an ordinary user made stays that user's, so that it works for both.
  const owner = await stat(cluster).catch(() => undefined)
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid }
  const account = (await findAccount('quayside')) ?? (await addAccount('quayside'))
  const chosen = account ?? (await findAccount('nobody'))
  if (chosen === undefined) {
    throw new Error(
      'PostgreSQL does not run as root, and there is no unprivileged system user to run it under. ' +
        'Start as an ordinary user, or set DATABASE_URL to a PostgreSQL of your own.',
    )
  }
  if (owner !== undefined) await giveTo(chosen, cluster)
  return chosen
}

async function findAccount(name: string): Promise<Account | undefined> {
  const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])])
  return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) }
}

async function addAccount(name: string): Promise<Account | undefined> {
  await run('useradd', ['--system', '--no-create-home', '--shell', '/usr/sbin/nologin', name])
  // Asked again even after a failure: two first starts at once both try, and one of them loses.
  return findAccount(name)
}

function run(program: string, parameters: string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = spawn(program, parameters, { stdio: ['ignore', 'pipe', 'ignore'] })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.on('error', () => resolve(undefined))
    child.on('close', (code) => resolve(code === 0 ? output.trim() : undefined))
  })
}

/** A checkout made under `umask 077` leaves the programs executable for root alone. */
async function allowExecution(programs: readonly string[]): Promise<void> {
  for (const program of programs) {
    const { mode } = await stat(program)
    if ((mode & 0o005) !== 0o005) await chmod(program, mode | 0o555)
  }
}

async function findClosedDirectory(
  account: Account,
  directories: readonly string[],
): Promise<string | undefined> {
  const seen = new Set<string>()
  for (const directory of directories) {
    for (let path = directory; !seen.has(path); path = dirname(path)) {
      seen.add(path)
      const { mode, uid, gid } = await stat(path)
      const shift = uid === account.uid ? 6 : gid === account.gid ? 3 : 0
      if (((mode >> shift) & 1) === 0) return path
    }
  }
  return undefined
}

const capabilities = [
  // Reading past permissions is enough, and it is the smaller right. Docker does not grant it by
  // default, but does grant the larger one.
  { name: 'dac_read_search', bit: 2n },
  { name: 'dac_override', bit: 1n },
] as const

/**
 * A checkout in a home of mode 700 (root's own) is closed for the database's user. One inherited
 * capability opens the way without changing the modes of directories that are not ours.
 */
async function capabilityArguments(account: Account, closed: string): Promise<string[]> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '')
  const held = BigInt(`0x${/^CapPrm:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`)
  const capability = capabilities.find(({ bit }) => (held >> bit) & 1n)
  const hasSetpriv = (await run('setpriv', ['--version'])) !== undefined
  if (capability === undefined || !hasSetpriv) {
    throw new Error(
      `PostgreSQL does not run as root, and its system user (uid ${account.uid}) may not enter ` +
        `${closed}. Move the project to a directory that others may enter, start as an ordinary ` +
        'user, or set DATABASE_URL to a PostgreSQL of your own.',
    )
  }
  return [
    `--reuid=${account.uid}`,
    `--regid=${account.gid}`,
    '--clear-groups',
    `--inh-caps=-all,+${capability.name}`,
    `--ambient-caps=-all,+${capability.name}`,
    `--bounding-set=-all,+${capability.name}`,
  ]
}
