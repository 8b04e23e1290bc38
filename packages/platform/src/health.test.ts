import assert from 'node:assert/strict'
import { describe, mock, test } from 'node:test'
import { createHealth } from './health.ts'

const ok = { name: 'fine', check: async () => 'whatever' }

describe('readiness', () => {
  test('is ok when every part answers', async () => {
    const health = createHealth([ok, { ...ok, name: 'other' }])
    assert.deepEqual(await health.ready(), { status: 'ok', parts: { fine: 'ok', other: 'ok' } })
  })

  test('is ok without parts', async () => {
    assert.deepEqual(await createHealth([]).ready(), { status: 'ok', parts: {} })
  })

  const failing: readonly [string, () => Promise<unknown>][] = [
    ['rejects', () => Promise.reject(new Error('down'))],
    ['rejects with nothing', () => Promise.reject(new Error())],
    [
      'throws',
      () => {
        throw new Error('down')
      },
    ],
  ]
  for (const [how, check] of failing)
    test(`is unavailable when a part ${how}, and says which`, async () => {
      const health = createHealth([ok, { name: 'broken', check }])
      assert.deepEqual(await health.ready(), {
        status: 'unavailable',
        parts: { fine: 'ok', broken: 'unavailable' },
      })
    })

  test('is unavailable when a part does not answer within two seconds', async () => {
    mock.timers.enable({ apis: ['setTimeout'] })
    try {
      const health = createHealth([ok, { name: 'hanging', check: () => new Promise(() => {}) }])
      const report = health.ready()
      mock.timers.tick(1_999)
      const early = Symbol('early')
      assert.equal(await Promise.race([report, Promise.resolve(early)]), early)
      mock.timers.tick(1)
      assert.deepEqual(await report, {
        status: 'unavailable',
        parts: { fine: 'ok', hanging: 'unavailable' },
      })
    } finally {
      mock.timers.reset()
    }
  })

  test('recovers when the part does', async () => {
    let down = true
    const health = createHealth([
      {
        name: 'flaky',
        check: async () => {
          if (down) throw new Error('down')
        },
      },
    ])
    assert.equal((await health.ready()).status, 'unavailable')
    down = false
    assert.equal((await health.ready()).status, 'ok')
  })

  test('is unavailable for good once the server drains, although every part answers', async () => {
    const health = createHealth([ok])
    assert.equal(health.isDraining(), false)
    health.drain()
    assert.equal(health.isDraining(), true)
    assert.deepEqual(await health.ready(), { status: 'unavailable', parts: { fine: 'ok' } })
  })
})
