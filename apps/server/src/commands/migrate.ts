import { assertUsable, checkMigrations, migrate } from '@quayside/platform/database/migrate'
import { waitForDatabase } from '@quayside/platform/database/wait'
import { serverMigrations } from '../migrations.ts'
import { runTool } from './run-tool.ts'

// `npm run migrate` applies what is pending; `npm run migrate -- --check` only looks, and exits
// with 1 when something is pending or was edited.
await runTool(async ({ config, database, flags }) => {
  const caFile = config.DATABASE_CA_FILE
  const migrations = await serverMigrations()
  await waitForDatabase({ url: database.url, caFile, onWait: (line) => console.log(line) })
  if (!flags.has('check')) {
    const done = await migrate(database.url, migrations, {
      caFile,
      onApply: ({ feature, name }) => console.log(`applied ${feature}/${name}`),
    })
    console.log(done.length === 0 ? 'Nothing to apply.' : `Applied ${done.length}.`)
    return 0
  }
  const state = await checkMigrations(database.url, migrations, { caFile })
  for (const { feature, name } of state.pending) console.log(`pending ${feature}/${name}`)
  assertUsable(state)
  return state.pending.length === 0 ? 0 : 1
})
