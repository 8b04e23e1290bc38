import type { Contestant, Letter } from './contestants.ts'
import type { Turn, Turns } from './measure.ts'
import { type Spread, spreadOf } from './statistics.ts'
import type { VerificationCost } from './verification-cost.ts'

export interface Findings {
  readonly contestants: readonly Contestant[]
  readonly turns: Turns
  readonly machine: readonly string[]
  readonly conditions: string
  readonly notes: readonly string[]
  readonly server: ServerFindings | undefined
}

export interface ServerFindings {
  readonly coldStartMs: readonly number[]
  readonly idleBytes: number
  readonly verification: VerificationCost
}

export interface Report {
  readonly markdown: string
  /** False as soon as one part of the budget was measured and missed. */
  readonly withinBudget: boolean
}

/** Turns the measurements into a page, and judges them by the budget. */
export function writeReport(findings: Findings): Report {
  const verdicts = budget.flatMap((rule) => judge(rule, findings.turns))
  const sections = [
    '# The hot path, measured',
    'An RS256 token comes in, is verified, one indexed query runs, 20 rows go out as JSON; all contestants answer with the same bytes. Written by `npm run bench`. CPU time is what the operating system counted for the process, and for the PostgreSQL backends that served it, divided by the number of requests. Medians over the rounds, with the least and the most in brackets.',
    findings.machine.map((line) => `- ${line}`).join('\n'),
    findings.conditions,
    contestantTable(findings),
    ratioTable(findings.turns),
    ['## Budget', ...verdicts.map(verdictLine)].join('\n'),
    ...serverSection(findings.server),
    ...(findings.notes.length > 0 ? [findings.notes.map((note) => `- ${note}`).join('\n')] : []),
  ]
  const withinBudget = verdicts.every((verdict) => verdict.kept)
  return { markdown: `${sections.join('\n\n')}\n`, withinBudget }
}

interface BudgetRule {
  readonly sentence: string
  readonly over: Letter
  readonly under: Letter
  readonly cost: (turn: Turn) => number
  readonly holds: (ratio: number) => boolean
}

const serverCost = (turn: Turn) => turn.serverMicros
const wholeCost = (turn: Turn) => turn.serverMicros + turn.databaseMicros

const budget: readonly BudgetRule[] = [
  {
    sentence: 'b / a in the server process, at most 1.25',
    over: 'b',
    under: 'a',
    cost: serverCost,
    holds: (ratio) => ratio <= 1.25,
  },
  {
    sentence: 'b / a in the sum with PostgreSQL, at most 1.25',
    over: 'b',
    under: 'a',
    cost: wholeCost,
    holds: (ratio) => ratio <= 1.25,
  },
  {
    sentence: 'c / b in the server process, at least 4',
    over: 'c',
    under: 'b',
    cost: serverCost,
    holds: (ratio) => ratio >= 4,
  },
]

interface Verdict {
  readonly sentence: string
  readonly ratio: Spread
  readonly kept: boolean
}

function judge(rule: BudgetRule, turns: Turns): Verdict[] {
  const ratio = ratioOf(turns, rule.over, rule.under, rule.cost)
  if (ratio === undefined) return []
  return [{ sentence: rule.sentence, ratio, kept: rule.holds(ratio.median) }]
}

/** Round by round, for neighbours in time share what the machine was doing. */
function ratioOf(
  turns: Turns,
  over: Letter,
  under: Letter,
  cost: (turn: Turn) => number,
): Spread | undefined {
  const below = turns.get(under) ?? []
  const ratios = (turns.get(over) ?? []).flatMap((turn, round) => {
    const other = below[round]
    return other === undefined ? [] : [cost(turn) / cost(other)]
  })
  return ratios.length > 0 ? spreadOf(ratios) : undefined
}

function verdictLine({ sentence, ratio, kept }: Verdict): string {
  return `- ${kept ? 'kept' : '**missed**'}: ${sentence}: ${withSpread(ratio, 2)}`
}

function contestantTable({ contestants, turns }: Findings): string {
  const head = [
    '| | server µs | PostgreSQL µs | sum µs | requests/s | p50 ms | p99 ms | memory MB |',
    '|---|--:|--:|--:|--:|--:|--:|--:|',
  ]
  const rows = contestants.map(({ letter, name }) => {
    const own = turns.get(letter) ?? []
    const column = (read: (turn: Turn) => number) => spreadOf(own.map(read))
    const cells = [
      `(${letter}) ${name}`,
      withSpread(column(serverCost), 0),
      withSpread(
        column((turn) => turn.databaseMicros),
        0,
      ),
      column(wholeCost).median.toFixed(0),
      column((turn) => turn.requestsPerSecond).median.toFixed(0),
      column((turn) => turn.p50Ms).median.toFixed(1),
      column((turn) => turn.p99Ms).median.toFixed(1),
      megabytes(column((turn) => turn.residentBytes).median),
    ]
    return `| ${cells.join(' | ')} |`
  })
  return [...head, ...rows].join('\n')
}

function ratioTable(turns: Turns): string {
  const pairs: readonly (readonly [Letter, Letter])[] = [
    ['b', 'a'],
    ['c', 'b'],
    ['d', 'b'],
  ]
  const rows = pairs.flatMap(([over, under]) => {
    const server = ratioOf(turns, over, under, serverCost)
    const whole = ratioOf(turns, over, under, wholeCost)
    if (server === undefined || whole === undefined) return []
    return [`| ${over} / ${under} | ${withSpread(server, 2)} | ${withSpread(whole, 2)} |`]
  })
  const head = ['| ratio | server process | sum with PostgreSQL |', '|---|--:|--:|']
  return [...head, ...rows].join('\n')
}

function serverSection(server: ServerFindings | undefined): string[] {
  if (server === undefined) return []
  const { cachedMicros, uncachedMicros } = server.verification
  const lines = [
    '## The server by itself',
    `- Cold start, from spawning to the first 200 of \`/health/live\`, on a migrated database: ${withSpread(spreadOf(server.coldStartMs), 0)} ms`,
    `- Memory 10 s after the start, before any load: ${megabytes(server.idleBytes)} MB (goal: under 110)`,
    `- One verification of an RS256 token: ${uncachedMicros.toFixed(0)} µs, from the cache ${cachedMicros.toFixed(2)} µs`,
  ]
  return [lines.join('\n')]
}

function withSpread({ median, least, most }: Spread, digits: number): string {
  return `${median.toFixed(digits)} (${least.toFixed(digits)}–${most.toFixed(digits)})`
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0)
}
