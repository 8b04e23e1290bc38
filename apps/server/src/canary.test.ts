import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { identity } from '@quayside/identity'
import { createTestApp, type TestApp } from '@quayside/platform/testing'
import { orders } from './features/orders/index.ts'
import { profiles } from './features/profiles/index.ts'

// Each is planted in every input of every route; none may be found in what was logged.
const canaries = {
  token:
    'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnktc3ViamVjdCJ9.Y2FuYXJ5LXNpZ25hdHVyZS1vZi1hLXRva2Vu',
  apiKey: 'qk_0192000000007000800000000000cafe_canaryCanaryCanaryCanaryCanaryCanaryCan',
  mail: 'canary.person@canary-mail.example',
  phone: '+436641234567',
  secret: 'canary-5up3r-s3cret-Pa55word-9f8e7d6c5b4a39281706',
}

describe('secrets in the inputs of a request', () => {
  let t: TestApp
  before(async () => {
    t = await createTestApp([identity, profiles, orders])
  })
  after(() => t.close())

  test('never reach the log, in no encoding, whatever the answer is', async () => {
    const person = await t.as('canary').headers()
    const routes = t.app.routes.filter(({ path }) => !path.startsWith('/docs'))
    let answered = 0
    for (const value of Object.values(canaries)) {
      for (const { method, path } of [...routes, { method: 'GET', path: '/nowhere' }]) {
        for (const proof of [person, {}]) {
          const url = path.replaceAll(/:\w+/g, encodeURIComponent(value))
          await t.app.http.inject({
            method: method as 'GET',
            url: `${url}?token=${encodeURIComponent(value)}&password=${encodeURIComponent(value)}`,
            headers: {
              authorization: `Bearer ${value}`,
              'x-api-key': value,
              apikey: value,
              cookie: `access_token_cookie=${value}; other=${value}`,
              'x-gateway-secret': value,
              'idempotency-key': value,
              'x-csrf-token': value,
              ...proof,
            },
            ...(method !== 'GET' && {
              payload: { item: value, total: 1, displayName: value, password: value, code: value },
            }),
          })
          answered++
        }
      }
    }
    const lines = t.logged()
    const requests = lines.filter(({ msg }) => msg === 'request')
    assert.equal(requests.length, answered, 'each request has its line')
    const text = lines.map((line) => JSON.stringify(line)).join('\n')
    for (const [name, value] of Object.entries(canaries))
      for (const form of formsOf(value)) assert.ok(!text.includes(form), `${name} as ${form}`)
  })

  test('never reach the log by way of a failing database', async () => {
    const client = t.as('unlucky')
    await t.database.sql`alter table orders rename to orders_away`
    try {
      const reply = await client.post('/auth/orders', { item: canaries.secret, total: 1 })
      assert.equal(reply.statusCode, 500)
      assert.doesNotMatch(reply.body, /orders|relation|canary/)
    } finally {
      await t.database.sql`alter table orders_away rename to orders`
    }
    const failure = t.logged().find(({ level }) => level === 'error')
    assert.ok(failure, 'the failure is logged')
    assert.ok(!JSON.stringify(failure).includes(canaries.secret))
  })
})

function formsOf(value: string): string[] {
  const bytes = Buffer.from(value)
  return [
    value,
    encodeURIComponent(value),
    bytes.toString('base64').slice(0, -4),
    bytes.toString('hex'),
  ]
}
