import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { apiKeyErrorCatalogue } from '@quayside/platform/auth/api-keys'
import { commonErrorCatalogue } from '@quayside/platform/errors'
import { Environment } from './config.ts'
import { orderErrorCatalogue } from './features/orders/orders.contract.ts'
import { profileErrorCatalogue } from './features/profiles/profiles.contract.ts'
import { listRoutes } from './routes.ts'

const root = new URL('../../../', import.meta.url)

test('routes.txt is what `npm run routes` prints, so a new door is seen in review', async () => {
  const kept = await readFile(new URL('apps/server/routes.txt', root), 'utf8')
  assert.equal(kept, `${await listRoutes()}\n`)
})

test('.env.example explains exactly the variables that the server reads', async () => {
  const text = await readFile(new URL('.env.example', root), 'utf8')
  const listed = [...text.matchAll(/^#? ?([A-Z][A-Z0-9_]+)=/gm)].map(([, name]) => name)
  assert.deepEqual(new Set(listed), new Set(Object.keys(Environment.properties)))
  assert.equal(new Set(listed).size, listed.length, 'a variable is listed twice')
})

test('docs/errors.md lists exactly the error codes with their statuses', async () => {
  const text = await readFile(new URL('docs/errors.md', root), 'utf8')
  const listed = [...text.matchAll(/^\| `(\w+)` \| (\d{3}) \| (.+) \|$/gm)].map(
    ([, code, status, message]) => [code, [Number(status), message]],
  )
  assert.deepEqual(Object.fromEntries(listed), {
    ...commonErrorCatalogue,
    ...apiKeyErrorCatalogue,
    ...orderErrorCatalogue,
    ...profileErrorCatalogue,
  })
})
