import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createOwnPostgres, type OwnPostgres } from './testing/own-postgres.ts'
import { waitForDatabase } from './wait.ts'

describe('waiting for the database', { timeout: 60_000 }, () => {
  let server: OwnPostgres
  before(async () => {
    server = await createOwnPostgres()
  })
  after(() => server.remove())

  test('one that answers is not waited for', async () => {
    const waited: string[] = []
    await waitForDatabase({ url: server.url, onWait: (line) => waited.push(line) })
    assert.deepEqual(waited, [])
  })

  test('one that starts later is waited for, and that is said once', async () => {
    await server.stop()
    const waited: string[] = []
    const ready = waitForDatabase({ url: server.url, onWait: (line) => waited.push(line) })
    await new Promise((resolve) => setTimeout(resolve, 300))
    await server.start()
    await ready
    assert.equal(waited.length, 1)
    assert.match(waited[0] ?? '', /PostgreSQL/)
  })

  test('one that never comes is given up', async () => {
    await server.stop()
    const hopeless = waitForDatabase({ url: server.url, timeoutMs: 100, onWait: () => undefined })
    await assert.rejects(hopeless, { code: 'ECONNREFUSED' })
    await server.start()
  })

  for (const [what, change, code] of [
    ['a wrong password', (url: URL) => (url.password = 'wrong'), '28P01'],
    ['a database that does not exist', (url: URL) => (url.pathname = '/nowhere'), '3D000'],
  ] as const)
    test(`${what} is not waited for, because waiting does not mend it`, async () => {
      const url = new URL(server.url)
      change(url)
      const waited: string[] = []
      const refused = waitForDatabase({ url: url.href, onWait: (line) => waited.push(line) })
      await assert.rejects(refused, { code })
      assert.deepEqual(waited, [])
    })
})
