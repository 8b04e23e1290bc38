import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseOptions } from './options.ts'

// `npm run bench`. The peers are heavy and only needed here, so they are installed on first use;
// what needs them is loaded afterwards.
const options = parseOptions(process.argv.slice(2))
installPeers()
const { runBench } = await import('./run.ts')
const withinBudget = await runBench(options, process.env['BENCH_DATABASE_URL'], console.log)
process.exitCode = withinBudget ? 0 : 1

function installPeers(): void {
  const here = fileURLToPath(new URL('.', import.meta.url))
  const installed = `${here}node_modules/.package-lock.json`
  const wanted = `${here}package-lock.json`
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(wanted).mtimeMs) return
  console.log('Installing the peers into bench/node_modules')
  const { status } = spawnSync('npm', ['ci', '--prefix', here, '--no-audit', '--no-fund'], {
    stdio: 'inherit',
  })
  if (status !== 0) throw new Error('The peers could not be installed.')
}
