import { setTimeout as pause } from 'node:timers/promises'
import { cpuMicroseconds, residentBytes } from './accounting.ts'
import type { Child } from './child.ts'
import type { Contestant, Letter } from './contestants.ts'
import type { BenchDatabase } from './database.ts'
import type { LoadClient } from './load-client.ts'
import type { LoadTask } from './load.ts'

export interface Running {
  readonly contestant: Contestant
  readonly child: Child
}

/** What one turn of one contestant cost. */
export interface Turn {
  readonly serverMicros: number
  readonly databaseMicros: number
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly residentBytes: number
}

export type Turns = ReadonlyMap<Letter, readonly Turn[]>

export interface RoundsDeps {
  readonly database: BenchDatabase
  readonly load: LoadClient
  readonly seconds: number
  readonly rounds: number
  readonly connections: number
  readonly requests: LoadTask['requests']
  readonly print: (line: string) => void
}

/** Long enough for the compiler of the engine to have done its work. */
// V8 goes on compiling a server of this size for some ten seconds of load; what is compared is what
// comes after, as in a process that runs for weeks.
const warmUpSeconds = 15

/** Every contestant in turn, `rounds` times, so that a drift of the machine hits all alike. */
export async function runRounds(running: readonly Running[], deps: RoundsDeps): Promise<Turns> {
  for (const one of running) {
    deps.print(`Warming up (${one.contestant.letter}) ${one.contestant.name}`)
    await takeTurn(one, { ...deps, seconds: warmUpSeconds })
  }
  const turns = new Map<Letter, Turn[]>(running.map(({ contestant }) => [contestant.letter, []]))
  for (let round = 1; round <= deps.rounds; round++) {
    const spent: string[] = []
    for (const one of running) {
      const turn = await takeTurn(one, deps)
      turns.get(one.contestant.letter)?.push(turn)
      const { serverMicros, databaseMicros } = turn
      const micros = `${serverMicros.toFixed(0)} + ${databaseMicros.toFixed(0)}`
      spent.push(`${one.contestant.letter} ${micros} µs`)
    }
    deps.print(`Round ${round} of ${deps.rounds}: ${spent.join(', ')}`)
  }
  return turns
}

async function takeTurn({ contestant, child }: Running, deps: RoundsDeps): Promise<Turn> {
  const { port, applicationName } = contestant
  const { connections, seconds, requests } = deps
  const serverBefore = await cpuMicroseconds(child.pid)
  const databaseBefore = await deps.database.backendCpu(applicationName)
  const result = await deps.load.run({ port, connections, seconds, requests })
  // What a request leaves to be done later (a log line to be written) belongs to its cost.
  await pause(200)
  const serverAfter = await cpuMicroseconds(child.pid)
  const databaseAfter = await deps.database.backendCpu(applicationName)
  if (serverBefore === undefined || serverAfter === undefined) {
    throw new Error(`(${contestant.letter}) ended under load.`)
  }
  return {
    serverMicros: (serverAfter - serverBefore) / result.requests,
    databaseMicros: growth(databaseBefore, databaseAfter) / result.requests,
    requestsPerSecond: result.requests / result.seconds,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    residentBytes: await residentBytes(child.pid),
  }
}

/** A backend that is new has spent all it has within the turn. */
function growth(before: ReadonlyMap<number, number>, after: ReadonlyMap<number, number>): number {
  let sum = 0
  for (const [pid, microseconds] of after) sum += microseconds - (before.get(pid) ?? 0)
  return sum
}
