import { createApiKeys } from '@quayside/platform/auth/api-keys'
import { createApiKeysRepository } from '@quayside/platform/auth/api-keys.repository'
import { systemClock } from '@quayside/platform/clock'
import { connectDatabase } from '@quayside/platform/database/connect'
import { migrate } from '@quayside/platform/database/migrate'
import { createLogger } from '@quayside/platform/log/logger'
import { v7 as uuidv7 } from 'uuid'
import { serverMigrations } from '../migrations.ts'
import { runTool, type Tool } from './run-tool.ts'

const usage = `Usage:
  npm run keys -- create --name jarvis --scopes users:write,users:read [--expires 90d]
  npm run keys -- list
  npm run keys -- revoke <name or id>`

await runTool(async (tool) => {
  const caFile = tool.config.DATABASE_CA_FILE
  // The first key may be made before the first start.
  await migrate(tool.database.url, await serverMigrations(), { caFile })
  const database = connectDatabase({ url: tool.database.url, caFile, poolSize: 1 })
  const log = await createLogger({ level: 'warn', format: 'json', redactSensitive: true })
  try {
    const keys = createApiKeys({
      keys: createApiKeysRepository(database),
      clock: systemClock,
      newId: () => uuidv7(),
      log,
    })
    return await run(keys, tool)
  } finally {
    await database.close()
  }
})

async function run(keys: ReturnType<typeof createApiKeys>, { words, flags }: Tool): Promise<number> {
  const [verb, subject] = words
  if (verb === 'create') return create(keys, flags)
  if (verb === 'revoke' && subject) {
    await keys.revoke(subject)
    console.log(`Revoked ${subject}. It is refused from now on.`)
    return 0
  }
  if (verb === 'list') {
    for (const key of await keys.list()) console.log(lineOf(key))
    return 0
  }
  console.error(usage)
  return 2
}

async function create(
  keys: ReturnType<typeof createApiKeys>,
  flags: ReadonlyMap<string, string>,
): Promise<number> {
  const name = flags.get('name')
  const scopes = flags.get('scopes')
  const expires = flags.get('expires')
  const lifeMs = expires === undefined ? undefined : readDuration(expires)
  if (!name || !scopes || (expires !== undefined && lifeMs === undefined)) {
    console.error(usage)
    return 2
  }
  const { key, secret } = await keys.create({
    name,
    scopes: scopes.split(',').map((scope) => scope.trim()),
    expiresAt: lifeMs === undefined ? undefined : new Date(Date.now() + lifeMs),
  })
  // Only the key itself goes to standard output, so that it can be piped into a secret store.
  console.error(`Made ${lineOf(key)}\nThe key is shown this one time:`)
  console.log(secret)
  return 0
}

/** `90d`, `12h` or `30m` in milliseconds. */
function readDuration(text: string): number | undefined {
  const [, count, unit] = /^([1-9]\d{0,4})([dhm])$/.exec(text) ?? []
  const unitMs = { d: 86_400_000, h: 3_600_000, m: 60_000 }[unit ?? '']
  return unitMs === undefined ? undefined : Number(count) * unitMs
}

function lineOf(key: Awaited<ReturnType<ReturnType<typeof createApiKeys>['list']>>[number]): string {
  const state = key.revokedAt
    ? `revoked ${key.revokedAt}`
    : key.expiresAt
      ? `expires ${key.expiresAt}`
      : 'no end'
  return `${key.id}  ${key.name}  [${key.scopes.join(' ')}]  ${state}  used ${key.lastUsedAt ?? 'never'}`
}
