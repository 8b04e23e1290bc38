import { type ApiKey, type ApiKeys, createApiKeys } from '@quayside/platform/auth/api-keys'
import { createApiKeysRepository } from '@quayside/platform/auth/api-keys.repository'
import { systemClock } from '@quayside/platform/clock'
import { connectDatabase } from '@quayside/platform/database/connect'
import { migrate } from '@quayside/platform/database/migrate'
import { waitForDatabase } from '@quayside/platform/database/wait'
import { createLogger } from '@quayside/platform/log/logger'
import { v7 as uuidv7 } from 'uuid'
import { serverMigrations } from '../migrations.ts'
import { type KeysOrder, readKeysOrder } from './keys-order.ts'
import { runTool } from './run-tool.ts'

const usage = `Usage:
  npm run keys -- create --name jarvis --scopes users:write,users:read [--expires 90d]
  npm run keys -- list
  npm run keys -- revoke <name or id>`

await runTool({
  usage,
  read: readKeysOrder,
  async run(order, { config, database: { url } }) {
    const caFile = config.DATABASE_CA_FILE
    await waitForDatabase({ url, caFile, onWait: (line) => console.error(line) })
    // The first key may be made before the first start.
    await migrate(url, await serverMigrations(), { caFile })
    const database = connectDatabase({ url, caFile, poolSize: 1 })
    const log = await createLogger({ level: 'warn', format: 'json', redactSensitive: true })
    try {
      const keys = createApiKeys({
        keys: createApiKeysRepository(database),
        clock: systemClock,
        newId: () => uuidv7(),
        log,
      })
      await carryOut(order, keys)
      return 0
    } finally {
      await database.close()
    }
  },
})

async function carryOut(order: KeysOrder, keys: ApiKeys): Promise<void> {
  switch (order.verb) {
    case 'create': {
      const { name, scopes, lifeMs } = order
      const expiresAt =
        lifeMs === undefined ? undefined : new Date(systemClock.now().getTime() + lifeMs)
      const { key, secret } = await keys.create({ name, scopes, expiresAt })
      // Only the key itself goes to standard output, so that it can be piped into a secret store.
      console.error(`Made ${lineOf(key)}\nThe key is shown this one time:`)
      console.log(secret)
      return
    }
    case 'revoke':
      await keys.revoke(order.idOrName)
      console.log(`Revoked ${order.idOrName}. It is refused from now on.`)
      return
    case 'list':
      for (const key of await keys.list()) console.log(lineOf(key))
  }
}

function lineOf(key: ApiKey): string {
  const state = key.revokedAt
    ? `revoked ${key.revokedAt}`
    : key.expiresAt
      ? `expires ${key.expiresAt}`
      : 'no end'
  return `${key.id}  ${key.name}  [${key.scopes.join(' ')}]  ${state}  used ${key.lastUsedAt ?? 'never'}`
}
