import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { createTestDatabase } from '@quayside/platform/testing'
import { features } from './features.ts'
import { startServerProcess } from './testing/server-process.ts'

const redisUrl = process.env['TEST_REDIS_URL']

describe('limits of two servers', () => {
  if (redisUrl)
    test('are one limit when they share a Redis', async (t) => {
      const database = await createTestDatabase(features)
      t.after(() => database.close())
      const env = {
        DATABASE_URL: database.url,
        REDIS_URL: redisUrl,
        RATE_LIMIT_ADDRESS: '20',
        TRUSTED_PROXIES: '127.0.0.1',
      }
      const servers = [await startServerProcess(t, env), await startServerProcess(t, env)]
      // An address of this run's own, and another of its /64 each time.
      const network = `2001:db8:${randomBytes(2).toString('hex')}:${randomBytes(2).toString('hex')}`
      const replies = await Promise.all(
        Array.from({ length: 30 }, (_, index) =>
          fetch(`${servers[index % 2]?.url}/health/live`, {
            headers: { 'x-forwarded-for': `${network}::${index + 1}` },
          }),
        ),
      )
      const statuses = replies.map(({ status }) => status)
      assert.equal(statuses.filter((status) => status === 200).length, 20)
      assert.equal(statuses.filter((status) => status === 429).length, 10)
      const refused = replies.find(({ status }) => status === 429)
      assert.match(String(refused?.headers.get('ratelimit-policy')), /^"address";q=20;w=60$/)
      const parts = await (await fetch(`${servers[0]?.url}/health/ready`)).json()
      assert.deepEqual(parts, { status: 'ok', parts: { database: 'ok', redis: 'ok' } })
    })

  test('are counted by each for itself without one, and a forged address does not help', async (t) => {
    const database = await createTestDatabase(features)
    t.after(() => database.close())
    const server = await startServerProcess(t, {
      DATABASE_URL: database.url,
      RATE_LIMIT_ADDRESS: '20',
    })
    const statuses: number[] = []
    for (let index = 0; index < 25; index++) {
      const headers = { 'x-forwarded-for': `192.0.2.${index}`, forwarded: `for=192.0.2.${index}` }
      statuses.push((await fetch(`${server.url}/health/live`, { headers })).status)
    }
    assert.ok(
      statuses.slice(-5).every((status) => status === 429),
      String(statuses),
    )
  })
})
