import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as fc from 'fast-check'
import { Type } from 'typebox'
import { AppError } from '../errors.ts'
import { defineFeature } from '../feature.ts'
import { createTestApp, type TestApp } from '../testing/index.ts'
import { publicAccess } from './access.ts'
import { PageQuery, pageOf, readCursor } from './pagination.ts'

const stones = defineFeature({
  name: 'stones',
  setup: ({ sql }) => ({
    routes(app) {
      const List = Type.Object({
        stones: Type.Array(Type.Object({ id: Type.String() })),
        nextCursor: Type.Union([Type.String(), Type.Null()]),
      })
      app.get(
        '/public/stones',
        {
          config: { access: publicAccess() },
          schema: { querystring: PageQuery, response: { 200: List } },
        },
        async ({ query: { limit, cursor } }) => {
          const position = readCursor(cursor)
          const rows = await sql<{ id: string; createdAt: string }[]>`
            select id, created_at as "createdAt" from stones
            where ${position === undefined} or (created_at, id) <
              (${position?.at ?? '-infinity'}::timestamptz, ${position?.id ?? '00000000-0000-0000-0000-000000000000'}::uuid)
            order by created_at desc, id desc limit ${limit + 1}`
          const { items, nextCursor } = pageOf(rows, limit, ({ id }) => ({ id }))
          return { stones: items, nextCursor }
        },
      )
    },
  }),
})

interface List {
  readonly stones: { readonly id: string }[]
  readonly nextCursor: string | null
}

describe('lists in pages', () => {
  let app: TestApp
  let ids: string[]
  before(async () => {
    app = await createTestApp([stones])
    await app.database
      .sql`create table stones (id uuid primary key, created_at timestamptz(3) not null)`
    // Seven stones a millisecond, so that pages end between equal times.
    await app.database.sql`
      insert into stones select gen_random_uuid(), '2026-01-01T00:00:00Z'::timestamptz + (n / 7) * interval '1 ms'
      from generate_series(1, 205) as n`
    const rows = await app.database.sql<
      { id: string }[]
    >`select id from stones order by created_at desc, id desc`
    ids = rows.map(({ id }) => id)
  })
  after(async () => app.close())

  const page = async (query: string): Promise<List> => {
    const reply = await app.anybody.get(`/public/stones${query}`)
    assert.equal(reply.statusCode, 200)
    return reply.json<List>()
  }

  for (const limit of [1, 3, 7, 50, 200])
    test(`pages of ${limit} show every row exactly once, in order, also among equal times`, async () => {
      const found: string[] = []
      let cursor: string | null = ''
      while (cursor !== null) {
        const list: List = await page(`?limit=${limit}${cursor && `&cursor=${cursor}`}`)
        assert.ok(list.stones.length <= limit)
        found.push(...list.stones.map(({ id }) => id))
        assert.ok(found.length <= ids.length, 'the pages go round in circles')
        cursor = list.nextCursor
      }
      assert.deepEqual(found, ids)
    })

  test('a page holds 50 unless asked otherwise', async () => {
    assert.equal((await page('')).stones.length, 50)
  })

  test('new rows do not move the pages behind a cursor', async () => {
    const first = await page('?limit=10')
    await app.database.sql`insert into stones values (gen_random_uuid(), '2027-01-01')`
    const second = await page(`?limit=10&cursor=${first.nextCursor}`)
    await app.database.sql`delete from stones where created_at = '2027-01-01'`
    assert.deepEqual(
      second.stones.map(({ id }) => id),
      ids.slice(10, 20),
    )
  })

  test('the last page has no cursor, even when it is full', async () => {
    const first = await page('?limit=200')
    const rest = await page(`?limit=5&cursor=${first.nextCursor}`)
    assert.equal(rest.stones.length, 5)
    assert.equal(rest.nextCursor, null)
  })

  const text = (at: string, id = '0198f1d2-0000-7000-8000-000000000000') =>
    Buffer.from(`${at} ${id}`).toString('base64url')
  const good = '2026-01-01T00:00:00.000Z'
  const badQueries = [
    'limit=0',
    'limit=-1',
    'limit=201',
    'limit=1.5',
    'limit=',
    'limit=x',
    'limit=1e999',
    'limit=Infinity',
    'limit=-Infinity',
    'limit=NaN',
    'limit=null',
    'limit=1&limit=2',
    'limit[]=1',
    'offset=1',
    'page=2',
    'cursor=',
    'cursor=x',
    'cursor=%00',
    `cursor=${'A'.repeat(201)}`,
    `cursor=${text(good)}&cursor=${text(good)}`,
    `cursor=${text(good)}=`,
    `cursor=${text(good)}!!`,
    `cursor=%20${text(good)}`,
    `cursor=${text(good).slice(0, -1)}`,
    ...[
      '2026-13-01T00:00:00.000Z',
      '2026-02-31T00:00:00.000Z',
      '2026-01-01T24:00:00.000Z',
      '2026-01-01T00:00:60.000Z',
      '0000-01-01T00:00:00.000Z',
      '2026-01-01T00:00:00Z',
      '2026-01-01 00:00:00.000Z',
      '-infinity',
      'now',
      "2026-01-01T00:00:00.000Z' or 1=1 --",
    ].map((at) => `cursor=${text(at)}`),
    ...[
      '',
      'x',
      '0198F1D2-0000-7000-8000-000000000000',
      '0198f1d2000070008000000000000000',
      '{0198f1d2-0000-7000-8000-000000000000}',
      "0198f1d2-0000-7000-8000-000000000000' --",
    ].map((id) => `cursor=${text(good, id)}`),
  ]
  for (const query of badQueries)
    test(`${query.slice(0, 60)} answers 400`, async () => {
      const reply = await app.anybody.get(`/public/stones?${query}`)
      assert.equal(reply.statusCode, 400)
      assert.equal(reply.json<{ code: string }>().code, 'invalid_request')
    })

  test('whatever a cursor is, it is refused or brings back exactly what was put in', () => {
    const hex = (length: number) =>
      fc.string({
        unit: fc.constantFrom(...Array.from('0123456789abcdef')),
        minLength: length,
        maxLength: length,
      })
    const position = fc.record({
      at: fc
        .date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })
        .map((date) => date.toISOString()),
      id: fc.tuple(hex(8), hex(4), hex(4), hex(4), hex(12)).map((parts) => parts.join('-')),
    })
    fc.assert(
      fc.property(position, ({ at, id }) => {
        const rows = [
          { id, createdAt: at },
          { id, createdAt: at },
        ]
        const { nextCursor } = pageOf(rows, 1, () => null)
        assert.deepEqual(readCursor(nextCursor ?? undefined), { at, id })
      }),
    )
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (garbage) => {
        assert.throws(() => readCursor(garbage), AppError)
      }),
    )
  })
})
