import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { identity } from '@quayside/identity'
import { createTestApp, type TestApp } from '@quayside/platform/testing'
import { orders } from './index.ts'

const socks = { item: 'Socks', total: 19.99 }
const missing = '01890000-0000-7000-8000-000000000000'

describe('orders', () => {
  let t: TestApp
  before(async () => {
    t = await createTestApp([identity, orders])
  })
  after(() => t.close())

  async function place(subject: string, body: object = socks) {
    const reply = await t.as(subject).post('/auth/orders', body)
    assert.equal(reply.statusCode, 201, reply.body)
    return reply.json<{ order: { id: string; createdAt: string } }>().order
  }

  async function countOrders(): Promise<number> {
    const [row] = await t.database.sql<{ count: number }[]>`select count(*)::int from orders`
    return row?.count ?? -1
  }

  test('a placed order can be read back by its owner, exactly as it was placed', async () => {
    const reply = await t.as('ann').post('/auth/orders', socks)
    assert.equal(reply.statusCode, 201)
    const { order } = reply.json()
    assert.equal(reply.headers['location'], `/auth/orders/${order.id}`)
    assert.match(order.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    assert.deepEqual(order, { id: order.id, ...socks, createdAt: '2026-01-01T00:00:00.000Z' })
    const read = await t.as('ann').get(`/auth/orders/${order.id}`)
    assert.equal(read.statusCode, 200)
    assert.deepEqual(read.json(), { order })
  })

  test('the list has the shape {"orders":[…]}, newest first, and only the own orders', async () => {
    await place('lea', { item: 'First', total: 1 })
    t.clock.advance(1000)
    await place('lea', { item: 'Second', total: 2 })
    const reply = await t.as('lea').get('/auth/orders')
    assert.equal(reply.statusCode, 200)
    const { orders: listed, ...rest } = reply.json()
    assert.deepEqual(rest, { nextCursor: null })
    assert.deepEqual(
      listed.map(({ item }: { item: string }) => item),
      ['Second', 'First'],
    )
    assert.deepEqual((await t.as('nobody-yet').get('/auth/orders')).json(), {
      orders: [],
      nextCursor: null,
    })
  })

  for (const total of [0, 0.1, 0.3, 1.1, 19.99, 4.35, 1e2, 9_999_999_999.99]) {
    test(`the total ${total} is stored and returned exactly`, async () => {
      const reply = await t.as('exact').post('/auth/orders', { item: 'Exact', total })
      assert.equal(reply.json().order.total, total)
      assert.match(reply.body, new RegExp(`"total":${String(total).replace('.', '\\.')}[,}]`))
      const [row] = await t.database.sql<{ total: string }[]>`
        select total from orders where id = ${reply.json().order.id}`
      assert.equal(row?.total, total.toFixed(2))
    })
  }

  test('a cursor walks through all orders once, in order, also those of the same instant', async () => {
    const placed: string[] = []
    for (let index = 0; index < 7; index++) placed.push((await place('walker')).id)
    const seen: string[] = []
    let cursor: string | null = null
    do {
      const query: string = cursor === null ? '' : `&cursor=${cursor}`
      const reply = await t.as('walker').get(`/auth/orders?limit=3${query}`)
      const page = reply.json<{ orders: { id: string }[]; nextCursor: string | null }>()
      assert.ok(page.orders.length <= 3)
      seen.push(...page.orders.map(({ id }) => id))
      cursor = page.nextCursor
    } while (cursor !== null)
    assert.deepEqual(seen, placed.toSorted().toReversed())
  })

  test('the same id and content again answers the same order and adds nothing', async () => {
    const id = '01920000-0000-7000-8000-00000000000a'
    const first = await t.as('twice').post('/auth/orders', { id, ...socks })
    const again = await t.as('twice').post('/auth/orders', { id: id.toUpperCase(), ...socks })
    assert.equal(again.statusCode, 201)
    assert.deepEqual(again.json(), first.json())
    assert.equal((await t.as('twice').get('/auth/orders')).json().orders.length, 1)
  })

  for (const [name, subject, body] of [
    ['other content', 'owner', { item: 'Shoes', total: 19.99 }],
    ["another person's order", 'thief', socks],
  ] as const) {
    test(`an id that is taken by ${name} is refused with order_id_taken`, async () => {
      const id =
        subject === 'owner'
          ? '01920000-0000-7000-8000-00000000000b'
          : '01920000-0000-7000-8000-00000000000c'
      await place('owner', { id, ...socks })
      const before = await countOrders()
      const reply = await t.as(subject).post('/auth/orders', { id, ...body })
      assert.equal(reply.statusCode, 409)
      assert.equal(reply.json().code, 'order_id_taken')
      assert.doesNotMatch(reply.body, /Socks/)
      assert.equal(await countOrders(), before)
    })
  }

  test("another person's order is indistinguishable from a missing one", async () => {
    const { id } = await place('bob')
    for (const method of ['get', 'delete'] as const) {
      const [foreign, absent] = await Promise.all([
        t.as('eve')[method](`/auth/orders/${id}`),
        t.as('eve')[method](`/auth/orders/${missing}`),
      ])
      assert.equal(foreign.statusCode, 404)
      const { requestId: _, ...seen } = foreign.json()
      const { requestId: __, ...expected } = absent.json()
      assert.deepEqual(seen, expected)
    }
    assert.equal((await t.as('bob').get(`/auth/orders/${id}`)).statusCode, 200)
  })

  test('a cancelled order is gone', async () => {
    const { id } = await place('carl')
    const reply = await t.as('carl').delete(`/auth/orders/${id}`)
    assert.equal(reply.statusCode, 204)
    assert.equal(reply.body, '')
    assert.equal((await t.as('carl').get(`/auth/orders/${id}`)).statusCode, 404)
    assert.equal((await t.as('carl').delete(`/auth/orders/${id}`)).statusCode, 404)
  })

  test('an unchanged order answers 304, and If-Match guards its cancellation', async () => {
    const { id } = await place('dora')
    const dora = t.as('dora')
    const { etag } = (await dora.get(`/auth/orders/${id}`)).headers
    assert.match(String(etag), /^"[\w-]{27}"$/)
    const known = await dora.get(`/auth/orders/${id}`, { 'if-none-match': String(etag) })
    assert.equal(known.statusCode, 304)
    assert.equal(known.body, '')
    const stale = await dora.delete(`/auth/orders/${id}`, { 'if-match': '"something-else"' })
    assert.equal(stale.statusCode, 412)
    assert.equal(stale.json().code, 'precondition_failed')
    const matched = await dora.delete(`/auth/orders/${id}`, { 'if-match': String(etag) })
    assert.equal(matched.statusCode, 204)
  })

  test('an Idempotency-Key makes one order of many tries, also at the same time', async () => {
    const client = t.as('hasty')
    const headers = { 'idempotency-key': 'order-1' }
    const replies = await Promise.all(
      Array.from({ length: 20 }, () => client.post('/auth/orders', socks, headers)),
    )
    const done = replies.filter(({ statusCode }) => statusCode === 201)
    assert.ok(done.length >= 1)
    for (const reply of replies) {
      if (reply.statusCode === 201) assert.equal(reply.body, done[0]?.body)
      else assert.equal(reply.json().code, 'idempotency_in_progress')
    }
    const late = await client.post('/auth/orders', socks, headers)
    assert.equal(late.headers['idempotency-replayed'], 'true')
    assert.equal(late.body, done[0]?.body)
    assert.equal(late.headers['location'], done[0]?.headers['location'])
    assert.equal((await client.get('/auth/orders')).json().orders.length, 1)
  })

  const refusedBodies: readonly (readonly [name: string, body: unknown])[] = [
    ['nothing', undefined],
    ['no members', {}],
    ['no item', { total: 1 }],
    ['an empty item', { item: '', total: 1 }],
    ['an item of 201 characters', { item: 'x'.repeat(201), total: 1 }],
    ['an item that is a number', { item: 5, total: 1 }],
    ['an item with a NUL', { item: 'a\u0000b', total: 1 }],
    ['an item with half a surrogate pair', { item: 'a\ud800', total: 1 }],
    ['no total', { item: 'Socks' }],
    ['a negative total', { item: 'Socks', total: -0.01 }],
    ['a total of three decimals', { item: 'Socks', total: 19.999 }],
    ['the sum 0.1 + 0.2', { item: 'Socks', total: 0.1 + 0.2 }],
    ['a tiny total', { item: 'Socks', total: 1e-7 }],
    ['a total too large', { item: 'Socks', total: 10_000_000_000 }],
    ['a total that is text', { item: 'Socks', total: '19.99' }],
    ['a total of null', { item: 'Socks', total: null }],
    ['an id that is no UUID', { id: '1', ...socks }],
    ['an id with a URN prefix', { id: `urn:uuid:${missing}`, ...socks }],
    ['a member nobody knows', { ...socks, userId: missing }],
    ['a list', [socks]],
  ]
  for (const [name, body] of refusedBodies) {
    test(`an order with ${name} is refused with 400 and nothing is stored`, async () => {
      const before = await countOrders()
      const reply = await t.as('ann').post('/auth/orders', body)
      assert.ok([400, 415].includes(reply.statusCode), reply.body)
      assert.equal(reply.json().status, reply.statusCode)
      assert.equal(await countOrders(), before)
    })
  }

  for (const query of [
    'limit=0',
    'limit=201',
    'limit=1.5',
    'limit=x',
    'cursor=%00',
    'cursor=abc',
    'limit=1&limit=2',
    'offset=3',
  ]) {
    test(`a list with ?${query} is refused with 400`, async () => {
      assert.equal((await t.as('ann').get(`/auth/orders?${query}`)).statusCode, 400)
    })
  }

  for (const [method, url] of [
    ['GET', '/auth/orders'],
    ['POST', '/auth/orders'],
    ['GET', `/auth/orders/${missing}`],
    ['DELETE', `/auth/orders/${missing}`],
  ] as const) {
    test(`${method} ${url} without a token answers 401 and does nothing`, async () => {
      const before = await countOrders()
      const body = method === 'POST' ? { payload: { ...socks, userId: missing, sub: 'ann' } } : {}
      const reply = await t.app.http.inject({ method, url, ...body })
      assert.equal(reply.statusCode, 401)
      assert.equal(reply.json().code, 'unauthenticated')
      assert.match(String(reply.headers['www-authenticate']), /^Bearer/)
      assert.equal(await countOrders(), before)
    })
  }
})
