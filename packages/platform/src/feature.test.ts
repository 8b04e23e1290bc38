import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Type } from 'typebox'
import { defineFeature, type Platform } from './feature.ts'
import { publicAccess } from './http/access.ts'
import { standInUsers } from './http/testing/stand-in-users.ts'
import { createTestApp } from './testing/index.ts'

describe('a feature', () => {
  for (const name of ['orders', 'a', 'aligner-tracker', 'v2', 'a'.repeat(40)])
    test(`may be called ${name}`, () => {
      const feature = { name, setup: () => ({}) }
      assert.equal(defineFeature(feature), feature)
    })

  for (const name of [
    '',
    'Orders',
    '2d',
    '-a',
    'a_b',
    'a b',
    'a/b',
    "a'b",
    'ä',
    'a\n',
    'a'.repeat(41),
  ])
    test(`cannot be called ${JSON.stringify(name)}`, () => {
      assert.throws(() => defineFeature({ name, setup: () => ({}) }), /short and kebab-case/)
    })

  test('is set up once, gets what the platform lends, and is closed once', async () => {
    const lent: Platform[] = []
    let closed = 0
    const feature = defineFeature({
      name: 'borrower',
      setup(platform) {
        lent.push(platform)
        return {
          close: async () => {
            closed++
          },
        }
      },
    })
    const app = await createTestApp([standInUsers, feature])
    assert.equal(lent.length, 1)
    const [platform] = lent
    assert.equal(platform?.clock.now().getTime(), app.clock.now().getTime())
    assert.match(
      platform.newId(),
      /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    )
    assert.notEqual(platform.newId(), platform.newId())
    assert.deepEqual([...(await platform.sql`select 1 as one`)], [{ one: 1 }])
    assert.equal(await platform.users.exists('anybody'), true)
    await assert.rejects(platform.fetch('https://elsewhere.test/'), /fetch failed/)
    assert.equal(app.outbound.sent[0]?.url, 'https://elsewhere.test/')
    assert.equal(closed, 0)
    await app.close()
    assert.equal(closed, 1)
  })

  test('may use the users before the feature that provides them is set up', async () => {
    const asking = defineFeature({
      name: 'asking',
      setup: ({ users }) => ({
        routes(app) {
          const schema = { response: { 200: Type.Object({ exists: Type.Boolean() }) } }
          app.get('/public/exists', { config: { access: publicAccess() }, schema }, async () => ({
            exists: await users.exists('x'),
          }))
        },
      }),
    })
    const app = await createTestApp([asking, standInUsers])
    assert.deepEqual((await app.anybody.get('/public/exists')).json(), { exists: true })
    await app.close()
  })
})
