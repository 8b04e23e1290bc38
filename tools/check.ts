import { spawn } from 'node:child_process'
import { checkDocuments } from './documents.ts'

// Everything that can be judged without running the server: `npm run check`. All steps run, so
// that one visit shows every problem.
const steps: readonly (readonly [name: string, step: () => Promise<boolean>])[] = [
  ['types', () => command('tsc', '-p', 'tsconfig.json')],
  ['lint: layers, arrows, cycles', () => command('oxlint', '--type-aware', '--deny-warnings', '.')],
  ['format', () => command('oxfmt', '--check', '.')],
  ['dead code and undeclared packages', () => command('knip')],
  ['documents', async () => report(await checkDocuments())],
  ['route list, .env.example and error list', () => tests()],
]

let failed = 0
for (const [name, step] of steps) {
  const startedMs = performance.now()
  const ok = await step()
  if (!ok) failed++
  console.log(
    `${ok ? 'ok    ' : 'FAILED'} ${name} (${Math.round(performance.now() - startedMs)} ms)`,
  )
}
process.exitCode = failed > 0 ? 1 : 0

function command(name: string, ...args: string[]): Promise<boolean> {
  return run(`node_modules/.bin/${name}`, args)
}

/** Compares lists that are kept in files with the code that they describe. */
function tests(): Promise<boolean> {
  return run(process.execPath, [
    '--conditions=@quayside/source',
    '--test',
    '--test-isolation=none',
    '--test-reporter=dot',
    'apps/server/src/lists.test.ts',
  ])
}

function run(program: string, args: readonly string[]): Promise<boolean> {
  const child = spawn(program, args, { stdio: 'inherit' })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve(code === 0))
  })
}

function report(problems: readonly string[]): boolean {
  for (const problem of problems) console.log(problem)
  return problems.length === 0
}
