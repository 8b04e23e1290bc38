import { parseArgs } from 'node:util'
import { assertUsable, checkMigrations, migrate } from '@quayside/platform/database/migrate'
import { waitForDatabase } from '@quayside/platform/database/wait'
import { serverMigrations } from '../migrations.ts'
import { runTool } from './run-tool.ts'

await runTool({
  usage: `Usage:
  npm run migrate               applies what is pending
  npm run migrate -- --check    only looks; exits with 1 when something is pending or was edited`,
  read(args) {
    try {
      return parseArgs({ args, options: { check: { type: 'boolean', default: false } } }).values
    } catch {
      return undefined
    }
  },
  async run({ check }, { config, database: { url } }) {
    const caFile = config.DATABASE_CA_FILE
    const migrations = await serverMigrations()
    await waitForDatabase({ url, caFile, onWait: (line) => console.error(line) })
    if (!check) {
      const done = await migrate(url, migrations, {
        caFile,
        onApply: ({ feature, name }) => console.log(`applied ${feature}/${name}`),
      })
      console.log(done.length === 0 ? 'Nothing to apply.' : `Applied ${done.length}.`)
      return 0
    }
    const state = await checkMigrations(url, migrations, { caFile })
    for (const { feature, name } of state.pending) console.log(`pending ${feature}/${name}`)
    assertUsable(state)
    return state.pending.length === 0 ? 0 : 1
  },
})
