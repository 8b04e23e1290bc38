import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Logger } from 'pino'
import { startHousekeeping } from './housekeeping.ts'

/** Keeps what was warned of, and nothing else. */
function createWarnings() {
  const warned: unknown[] = []
  const log = { warn: (details: { err: unknown }) => void warned.push(details.err) }
  return { warned, log: log as unknown as Logger }
}

describe('housekeeping', () => {
  test('every task runs each time, and one that fails keeps no other from running', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] })
    const { warned, log } = createWarnings()
    const ran: string[] = []
    const failure = new Error('no database')
    const housekeeping = startHousekeeping({
      log,
      intervalMs: 1_000,
      tasks: [
        async () => {
          ran.push('failing')
          throw failure
        },
        async () => void ran.push('working'),
      ],
    })
    assert.deepEqual(ran, [])
    t.mock.timers.tick(1_000)
    await new Promise(setImmediate)
    t.mock.timers.tick(1_000)
    await housekeeping.stop()
    assert.deepEqual(ran, ['failing', 'working', 'failing', 'working'])
    assert.deepEqual(warned, [failure, failure])
  })

  test('stopping waits for what runs and starts nothing more', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] })
    const { promise, resolve: finish } = Promise.withResolvers<void>()
    let started = 0
    const housekeeping = startHousekeeping({
      log: createWarnings().log,
      intervalMs: 1_000,
      tasks: [
        () => {
          started++
          return promise
        },
      ],
    })
    t.mock.timers.tick(1_000)
    let stopped = false
    const stop = async () => {
      await housekeeping.stop()
      stopped = true
    }
    const stopping = stop()
    t.mock.timers.tick(5_000)
    await new Promise(setImmediate)
    assert.equal(stopped, false)
    finish()
    await stopping
    assert.equal(started, 1)
  })

  test('a task that has not ended is not started a second time', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] })
    const { promise, resolve: finish } = Promise.withResolvers<void>()
    let started = 0
    const task = () => {
      started++
      return promise
    }
    const housekeeping = startHousekeeping({
      log: createWarnings().log,
      intervalMs: 1_000,
      tasks: [task],
    })
    t.mock.timers.tick(3_000)
    finish()
    await housekeeping.stop()
    assert.equal(started, 1)
  })
})
