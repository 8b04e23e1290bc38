import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, test } from 'node:test'
import { createTestDatabase } from '@quayside/platform/testing'
import { features } from './features.ts'
import { createHttpClient, type HttpClient } from './testing/http-client.ts'
import { startServerProcess } from './testing/server-process.ts'
import { startTokenIssuer } from './testing/token-issuer.ts'

/** A few rounds prove that the test works; `QUAYSIDE_CRASH_ROUNDS=200` looks for rare moments. */
const rounds = Number(process.env['QUAYSIDE_CRASH_ROUNDS'] ?? 6)
const writersCount = 50

interface Order {
  /** The Idempotency-Key, and what was ordered. */
  readonly key: string
  readonly headers: Record<string, string>
  /** Ids in every answer that said it was placed. */
  readonly ids: Set<string>
  answers: number
}

describe('a server that is killed in the middle of writing', { timeout: 900_000 }, () => {
  test(`${rounds} times: every placed order is there once, and nothing else`, async (t) => {
    const db = await createTestDatabase(features)
    t.after(() => db.close())
    const issuer = await startTokenIssuer(t)
    const people = Array.from({ length: 10 }, (_, n) => issuer.headers(`person ${n}`))
    const orders: Order[] = []
    let slowestStartMs = 0

    for (let round = 0; round < rounds; round++) {
      const startedMs = performance.now()
      const server = await startServerProcess(t, { DATABASE_URL: db.url, ...issuer.env })
      const client = createHttpClient(t)
      const url = `${server.url}/auth/orders`
      if (round > 0) slowestStartMs = Math.max(slowestStartMs, performance.now() - startedMs)

      const unanswered = orders.filter(({ ids }) => ids.size === 0)
      await Promise.all(unanswered.map((order) => placeAtLast(client, url, order)))

      const life = { isOver: false }
      const write = async (headers: Record<string, string>) => {
        while (!life.isOver) {
          const order = { key: randomUUID(), headers, ids: new Set<string>(), answers: 0 }
          orders.push(order)
          await place(client, url, order).catch(() => undefined)
        }
      }
      const writers = Array.from({ length: writersCount }, (_, n) => write(people[n % 10] ?? {}))
      await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 300))
      life.isOver = true
      server.child.kill('SIGKILL')
      await Promise.all([...writers, server.exit])
    }

    const server = await startServerProcess(t, { DATABASE_URL: db.url, ...issuer.env })
    const client = createHttpClient(t)
    const url = `${server.url}/auth/orders`
    const unanswered = orders.filter(({ ids }) => ids.size === 0)
    await Promise.all(unanswered.map((order) => placeAtLast(client, url, order)))
    // A retry of what was answered, too: it gets the same answer again.
    for (const order of orders.slice(-20)) await placeAtLast(client, url, order)

    const rows = await db.sql<{ key: string; ids: string[]; replies: number }[]>`
      select o.item as key, array_agg(distinct o.id::text) as ids, count(k.key)::int as replies
      from orders o left join idempotency_keys k on k.key = o.item group by o.item`
    const found = new Map(rows.map((row) => [row.key, row]))
    for (const { key, ids } of orders) {
      assert.equal(ids.size, 1, `${key} was answered with several ids`)
      assert.deepEqual(found.get(key)?.ids, [...ids], `${key} is not there exactly once`)
      assert.equal(found.get(key)?.replies, 1, `${key} has no stored reply`)
    }
    const [count] = await db.sql`
      select (select count(*)::int from orders) as orders,
        (select count(*)::int from idempotency_keys) as keys`
    assert.deepEqual(count, { orders: orders.length, keys: orders.length })
    assert(unanswered.length + orders.filter(({ answers }) => answers > 1).length > 0)
    t.diagnostic(`${orders.length} orders; slowest restart ${Math.round(slowestStartMs)} ms`)
  })
})

/** Places it once; rejects when there is no answer, and answers whether it was placed. */
async function place(client: HttpClient, url: string, order: Order): Promise<boolean> {
  const reply = await client.send(url, {
    headers: { ...order.headers, 'idempotency-key': order.key },
    body: { item: order.key, total: 19.99 },
  })
  // The connection of the killed server may hold the key for a moment.
  if (reply.status === 409) return false
  assert.equal(reply.status, 201, reply.text)
  const { order: placed } = JSON.parse(reply.text) as { order: { id: string; total: number } }
  assert.equal(placed.total, 19.99)
  order.ids.add(placed.id)
  order.answers++
  return true
}

async function placeAtLast(client: HttpClient, url: string, order: Order): Promise<void> {
  while (!(await place(client, url, order))) await new Promise((resolve) => setTimeout(resolve, 20))
}
