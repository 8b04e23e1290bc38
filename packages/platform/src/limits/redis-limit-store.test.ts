import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, test } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Cluster, Redis } from 'ioredis'
import { systemClock } from '../clock.ts'
import type { Clock } from '../clock.ts'
import { describeLimitStore, ruleOf } from './limit-store.contract.ts'
import type { LimitRule } from './limit-store.ts'
import { createMemoryLimitStore } from './memory-limit-store.ts'
import { createRedisLimitStore } from './redis-limit-store.ts'
import { createFakeClock } from '../testing/fake-clock.ts'
import { createOwnRedis, openTestRedis, testRedisUrl, until } from './testing/services.ts'

if (testRedisUrl !== undefined) registerRedisTests(testRedisUrl)

function registerRedisTests(url: string): void {
  describeLimitStore('Redis', async () => {
    const redis = await openTestRedis(url, 2)
    const stores = redis.clients.map((client) =>
      createRedisLimitStore({
        redis: client,
        ...withoutOutage,
      }),
    )
    const [store, otherNode] = stores
    assert.ok(store !== undefined && otherNode !== undefined)
    return { store, otherNode, until, nowMs: () => performance.now(), close: redis.drop }
  })

  describe('Redis limit store', () => {
    test('keys are prefixed, unreadable, tagged for one slot, and expire', async (t) => {
      const redis = await openTestRedis(url, 1)
      t.after(() => redis.drop())
      const [client] = redis.clients
      assert.ok(client !== undefined)
      const store = createRedisLimitStore({
        redis: client,
        ...withoutOutage,
      })
      const rule = ruleOf(1, 60)
      await store.take('maria@example.com', rule)
      const [key = '', ...others] = await redis.keys()
      assert.deepEqual(others, [])
      const own = key.slice(redis.keyPrefix.length)
      assert.match(own, new RegExp(`^qs:limit:\\{${rule.name}:[\\w-]{43}\\}$`))
      const expiresInMs = await client.pttl(own)
      assert.ok(expiresInMs > 0 && expiresInMs <= 60_000)
    })

    test('a key that lost its expiry does not shut its owner out for ever', async (t) => {
      const redis = await openTestRedis(url, 1)
      t.after(() => redis.drop())
      const [client] = redis.clients
      assert.ok(client !== undefined)
      const store = createRedisLimitStore({
        redis: client,
        ...withoutOutage,
      })
      const rule = ruleOf(1, 60)
      await store.take('a', rule)
      const [key = ''] = await redis.keys()
      await client.persist(key.slice(redis.keyPrefix.length))
      assert.equal((await store.take('a', rule)).allowed, true)
      assert.equal((await store.take('a', rule)).allowed, false)
    })

    test('a frozen Redis: each node limits by itself, and Redis counts again once thawed', async (t) => {
      const bed = await openOutageBed(t)
      const rule = ruleOf(5, 60)
      assert.equal(await bed.passed(rule, 3), 3)

      bed.server.freeze()
      assert.equal(await bed.passed(rule, 20), 5)
      assert.deepEqual(bed.transitions, ['Redis did not answer within 250 ms.'])
      // One trial goes out and gets no answer; later takes must not wait for it.
      bed.clock.advance(1000)
      assert.equal(await bed.passed(rule, 20), 0)

      // The trial is answered in the end, but too late to show that Redis is well.
      await delay(300)
      bed.server.thaw()
      await bed.client.ping()
      assert.equal(bed.transitions.length, 1)
      await bed.recover(rule)
      assert.equal(bed.transitions.length, 2)
      // What Redis had counted before still counts.
      assert.ok((await bed.passed(rule, 20)) <= 2)
      assert.equal(bed.transitions.length, 2)
    })

    test('a Redis that was killed: still limited, also after its empty restart', async (t) => {
      const bed = await openOutageBed(t)
      const rule = ruleOf(5, 60)
      assert.equal(await bed.passed(rule, 3), 3)

      await bed.server.stop()
      assert.equal(await bed.passed(rule, 20), 5)
      bed.clock.advance(1000)
      assert.equal(await bed.passed(rule, 20), 0)
      assert.equal(bed.transitions.length, 1)

      await bed.server.start()
      await bed.recover(rule)
      // The client sends the hit that it could not deliver once more, so one may be counted already.
      const passed = await bed.passed(rule, 20)
      assert.ok(passed === 4 || passed === 5, `${passed} passed`)
      assert.deepEqual(bed.transitions.slice(1), ['recovered'])
    })

    test('FLUSHALL and SCRIPT FLUSH begin a new window and nothing more', async (t) => {
      const bed = await openOutageBed(t)
      const rule = ruleOf(5, 60)
      assert.equal(await bed.passed(rule, 20), 5)
      await bed.server.run('flushall')
      await bed.server.run('script', 'flush')
      assert.equal(await bed.passed(rule, 20), 5)
      assert.deepEqual(bed.transitions, [])
    })

    test('a full Redis: limited by the node, and no recovery is claimed before it can write', async (t) => {
      const bed = await openOutageBed(t)
      const rule = ruleOf(5, 60)
      await bed.server.run('config', 'set', 'maxmemory', '1')
      assert.equal(await bed.passed(rule, 20), 5)
      for (let trial = 0; trial < 5; trial += 1) {
        bed.clock.advance(1000)
        assert.equal(await bed.passed(rule, 4), 0)
        // A reply on the same connection comes after the trial's.
        await bed.client.ping()
      }
      assert.equal(bed.transitions.length, 1)
      await bed.server.run('config', 'set', 'maxmemory', '0')
      await bed.recover(rule)
      assert.equal(await bed.passed(rule, 20), 5)
    })

    test('200 hits in parallel while Redis fails are one degradation, and all are limited', async (t) => {
      const bed = await openOutageBed(t)
      const rule = ruleOf(5, 60)
      bed.server.freeze()
      const results = await Promise.all(
        Array.from({ length: 200 }, async () => bed.store.take('a', rule)),
      )
      assert.equal(results.filter(({ allowed }) => allowed).length, 5)
      assert.equal(bed.transitions.length, 1)
      bed.server.thaw()
    })

    test('a client that is closed for good leaves the limits of the node', async (t) => {
      const bed = await openOutageBed(t)
      const rule = ruleOf(5, 60)
      bed.client.disconnect()
      assert.equal(await bed.passed(rule, 20), 5)
      bed.clock.advance(1000)
      assert.equal(await bed.passed(rule, 20), 0)
      assert.equal(bed.transitions.length, 1)
    })

    test('a Redis Cluster counts like one Redis', async (t) => {
      const options = ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1']
      const server = await createOwnRedis(...options)
      t.after(() => server.remove())
      await server.start()
      await server.run('cluster', 'addslotsrange', '0', '16383')
      await until(async () =>
        String(await server.run('cluster', 'info')).includes('cluster_state:ok'),
      )
      const cluster = new Cluster([{ host: '127.0.0.1', port: server.port }])
      t.after(() => cluster.disconnect())
      await once(cluster, 'ready')
      const store = createRedisLimitStore({
        redis: cluster,
        ...withoutOutage,
      })
      const rule = ruleOf(10, 60)
      for (const key of ['a', 'b', '{c}d', '}{']) {
        const takes = Array.from({ length: 50 }, async () => store.take(key, rule))
        const passed = (await Promise.all(takes)).filter(({ allowed }) => allowed)
        assert.equal(passed.length, 10, key)
      }
    })
  })
}

/** Where Redis is well: an answer from the fallback would hide that Redis was not asked. */
const withoutOutage: Omit<Parameters<typeof createRedisLimitStore>[0], 'redis'> = {
  fallback: {
    take: () => {
      throw new Error('The fallback was used.')
    },
    close: async () => {},
  },
  clock: systemClock,
  answerTimeoutMs: 10_000,
}

/** One node on a Redis of its own, which the test may freeze, kill and fill. */
async function openOutageBed(t: TestContext) {
  const server = await createOwnRedis()
  t.after(() => server.remove())
  await server.start()
  const client = new Redis({ port: server.port, retryStrategy: () => 20 })
  client.on('error', () => {})
  t.after(() => client.disconnect())
  const clock = createFakeClock()
  const transitions: string[] = []
  const store = createRedisLimitStore({
    redis: client,
    fallback: createMemoryLimitStore({ clock: stoppedClock(clock) }),
    clock,
    onDegraded: (error) => transitions.push(error instanceof Error ? error.message : 'odd'),
    onRecovered: () => transitions.push('recovered'),
  })

  async function passed(rule: LimitRule, hits: number): Promise<number> {
    let count = 0
    for (let hit = 0; hit < hits; hit += 1) {
      if ((await store.take('a', rule)).allowed) count += 1
    }
    return count
  }

  /** Sends a hit and lets the time of a trial pass, until the store says that Redis is back. */
  async function recover(rule: LimitRule): Promise<void> {
    await until(async () => {
      if (transitions.at(-1) === 'recovered') return true
      await store.take('a', rule)
      clock.advance(1000)
      return false
    })
  }

  return { server, client, clock, store, transitions, passed, recover }
}

/** The fallback's windows must not end while a test moves the time of trials. */
function stoppedClock(clock: Clock): Clock {
  const moment = clock.now()
  return { now: () => moment }
}
