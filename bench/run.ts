import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { residentBytes } from './accounting.ts'
import type { Child } from './child.ts'
import { withCleanup } from './cleanup.ts'
import { type Contestant, describePeer, describeServer, poolSize } from './contestants.ts'
import type { Letter, Surroundings } from './contestants.ts'
import { answers, type BenchDatabase, createBenchDatabase } from './database.ts'
import { startIssuer } from './issuer.ts'
import { listenOnLoopback } from './loopback.ts'
import { createLoadClient } from './load-client.ts'
import { describeMachine } from './machine.ts'
import { type Running, runRounds } from './measure.ts'
import type { Options } from './options.ts'
import { preparePython } from './python-peer.ts'
import { type ServerFindings, writeReport } from './report.ts'
import { measureVerification } from './verification-cost.ts'
import { assertSameBytes, type Caller, fetchPage } from './same-bytes.ts'
import { rowCount, seedOrders, userCount } from './seed.ts'

/** Runs the whole comparison. Resolves to false when the budget was missed. */
export async function runBench(
  options: Options,
  databaseUrl: string | undefined,
  print: (line: string) => void,
): Promise<boolean> {
  let withinBudget = false
  const thisMachine = describeMachine()
  await withCleanup(async (stack) => {
    const python = isWanted('c', options) ? await preparePython() : undefined
    const around = await prepare(stack, databaseUrl, print)
    const server = await describeServer(around)
    const callers = await introduceCallers(server, around)
    print(`Writing ${rowCount} rows`)
    await seedOrders(
      around.database.sql,
      callers.map((caller) => caller.userId),
    )
    const bench = { options, around, callers, print, stack }
    const { running, alone } = await startAll(bench, server, python)
    const contestants = running.map((one) => one.contestant)
    const requests = await assertSameBytes(contestants, callers, around.database)
    const { seconds, rounds, connections } = options
    const load = stack.use(createLoadClient())
    const { database } = around
    const deps = { database, load, seconds, rounds, connections, requests, print }
    const turns = await runRounds(running, deps)

    const machine = [...thisMachine, database.version, ...(python ? [python] : [])]
    const report = writeReport({
      contestants,
      turns,
      machine,
      conditions: conditionsOf(options),
      notes: notesOf(options, python),
      server: alone,
    })
    print(`\n${report.markdown}`)
    if (options.only === undefined) {
      await writeFile(new URL('results.md', import.meta.url), report.markdown)
    }
    withinBudget = report.withinBudget
  })
  return withinBudget
}

interface Bench {
  readonly options: Options
  readonly around: Surroundings
  readonly callers: readonly Caller[]
  readonly stack: AsyncDisposableStack
  readonly print: (line: string) => void
}

async function prepare(
  stack: AsyncDisposableStack,
  databaseUrl: string | undefined,
  print: (line: string) => void,
): Promise<Surroundings> {
  const temporaryDirectory = await mkdtemp(join(tmpdir(), 'quayside-bench-'))
  stack.defer(() => rm(temporaryDirectory, { recursive: true, force: true }))
  const adminUrl = databaseUrl ?? (await findPostgres(stack, temporaryDirectory))
  const database = stack.use(await createBenchDatabase(adminUrl))
  print(`Working on ${database.version}`)
  const issuer = stack.use(await startIssuer())
  return { database, issuer, temporaryDirectory, freePort }
}

async function findPostgres(stack: AsyncDisposableStack, directory: string): Promise<string> {
  const local = 'postgres://postgres@127.0.0.1:5432/postgres'
  if (await answers(local)) return local
  const { startEmbeddedPostgres } = await import('@quayside/platform/database/embedded')
  const embedded = await startEmbeddedPostgres({ dataDir: join(directory, 'postgres') })
  stack.defer(() => embedded.stop())
  return embedded.url
}

const callerCount = 20

/**
 * Starts the server once, so that it makes its tables, and lets each caller be seen, so that the
 * server makes its users; everybody else finds them in the database.
 */
async function introduceCallers(server: Contestant, around: Surroundings): Promise<Caller[]> {
  await using child = await server.start()
  if (child.pid === 0) throw new Error('The server has no process id.')
  const callers: Caller[] = []
  for (let caller = 0; caller < callerCount; caller++) {
    const subject = `bench-${caller}`
    const token = around.issuer.issueToken(subject)
    await fetchPage(server.port, { token })
    callers.push({ token, userId: await findUserId(around.database, subject) })
  }
  return callers
}

async function findUserId({ sql }: BenchDatabase, subject: string): Promise<string> {
  const [identity] = await sql<{ userId: string }[]>`
    select user_id as "userId" from identities where subject = ${subject}`
  if (identity === undefined) throw new Error(`The server has not made a user for ${subject}.`)
  return identity.userId
}

async function startAll(
  bench: Bench,
  server: Contestant,
  python: string | undefined,
): Promise<{ running: Running[]; alone: ServerFindings | undefined }> {
  const { options, around, stack } = bench
  const running: Running[] = []
  const start = async (contestant: Contestant, starting = contestant.start()) => {
    running.push({ contestant, child: stack.use(await starting) })
  }
  const alone = isWanted('b', options) ? await measureAlone(server, bench) : undefined
  for (const letter of ['a', 'b', 'c', 'd'] as const) {
    if (!isWanted(letter, options) || (letter === 'c' && python === undefined)) continue
    if (letter === 'b') {
      if (alone) running.push({ contestant: server, child: alone.child })
    } else await start(await describePeer(letter, around))
  }
  return { running, alone: alone?.findings }
}

const coldStarts = 5
const idleMs = 10_000

/** Cold starts one after another; the last of them stays, rests, and is the one that is loaded. */
async function measureAlone(
  server: Contestant,
  { around, stack, print }: Bench,
): Promise<{ child: Child; findings: ServerFindings }> {
  print('Measuring the server by itself: cold starts, then ten idle seconds')
  const coldStartMs: number[] = []
  for (let turn = 1; turn < coldStarts; turn++) {
    await using child = await server.start()
    coldStartMs.push(child.startupMs)
  }
  const child = stack.use(await server.start())
  coldStartMs.push(child.startupMs)
  await pause(idleMs)
  const idleBytes = await residentBytes(child.pid)
  return {
    child,
    findings: { coldStartMs, idleBytes, verification: await measureVerification(around.issuer) },
  }
}

function isWanted(letter: Letter, { only }: Options): boolean {
  return only === undefined || only.includes(letter)
}

function conditionsOf({ rounds, seconds, connections }: Options): string {
  return `${rowCount.toLocaleString('en')} rows of ${userCount.toLocaleString('en')} users, ${callerCount} of them calling; ${connections} connections in a closed loop, ${rounds} rounds of ${seconds} s each, interleaved; every contestant one process with a pool of ${poolSize}.`
}

function notesOf(options: Options, python: string | undefined): string[] {
  const notes = [
    '(a) checks the method, the path, `limit` and the token, and does nothing else. (b) has all of it on: one log line per request into a file, metrics, rate limits, request ids, response schema, redaction. (c) and (d) write no log; (c) has prepared statements and a cache of verified tokens too; (d) is what the documentation of its parts suggests.',
  ]
  if (isWanted('c', options) && python === undefined) {
    notes.push(
      '(c) was skipped: its packages are not there, and this is not root on a machine with apt.',
    )
  }
  return notes
}

/** A port that nobody listens on at this moment. */
async function freePort(): Promise<number> {
  const server = createServer()
  const port = await listenOnLoopback(server)
  server.close()
  await once(server, 'close')
  return port
}
