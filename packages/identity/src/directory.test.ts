import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, beforeEach, describe, test } from 'node:test'
import type { VerifiedToken } from '@quayside/platform/auth/principal'
import { principalOf } from '@quayside/platform/auth/principal-of'
import { defineFeature } from '@quayside/platform/feature'
import { userAccess } from '@quayside/platform/http/access'
import {
  createFakeClock,
  createTestApp,
  createTestDatabase,
  type TestApp,
  type TestDatabase,
} from '@quayside/platform/testing'
import { createDirectory } from './directory.ts'
import { createIdentitiesRepository, type IdentitiesRepository } from './identities.repository.ts'
import { identity } from './index.ts'

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

const token = (issuer: string, subject: string): VerifiedToken => ({
  issuer,
  subject,
  roles: [],
  scopes: [],
  assurance: 'aal1',
  claims: { email: 'ada@example.test', email_verified: true },
  via: 'bearer',
  validUntilMs: 0,
})

describe('the directory of users', () => {
  const clock = createFakeClock()
  let database: TestDatabase
  before(async () => {
    database = await createTestDatabase([identity])
  })
  after(async () => database.close())
  beforeEach(async () => {
    await database.sql`delete from users`
  })

  /** What one node would have: its own cache on the common database. */
  const node = (
    identities: IdentitiesRepository = createIdentitiesRepository(database),
    cacheEntriesMax = 100,
  ) =>
    createDirectory({
      identities,
      transaction: database.transaction,
      clock,
      newId: randomUUID,
      cacheEntriesMax,
    })

  const count = async (): Promise<{ users: number; identities: number }> => {
    const [row] = await database.sql<{ users: number; identities: number }[]>`
      select (select count(*)::int from users) as users, (select count(*)::int from identities) as identities`
    assert.ok(row)
    return row
  }

  test('a person is created on first sight and is the same ever after, on every node', async () => {
    const userId = await node().resolve(token('https://a.test', 'ada'))
    assert.match(userId, uuid)
    assert.equal(await node().resolve(token('https://a.test', 'ada')), userId)
    assert.deepEqual(await count(), { users: 1, identities: 1 })
    const [row] = await database.sql`select id, created_at as "createdAt" from users`
    assert.deepEqual(row, { id: userId, createdAt: '2026-01-01T00:00:00.000Z' })
  })

  test('50 first sights at once on 50 nodes make one user', async () => {
    const ids = await Promise.all(
      Array.from({ length: 50 }, () => node().resolve(token('https://a.test', 'ada'))),
    )
    assert.equal(new Set(ids).size, 1)
    assert.deepEqual(await count(), { users: 1, identities: 1 })
  })

  test('who comes second while the first is being created waits, and is the same user', async () => {
    const repository = createIdentitiesRepository(database)
    const { promise: gate, resolve: open } = Promise.withResolvers<void>()
    const { promise: inserted, resolve: enter } = Promise.withResolvers<void>()
    const first = node({
      ...repository,
      insert: async (row) => {
        await repository.insert(row)
        enter()
        await gate
      },
    }).resolve(token('https://a.test', 'ada'))
    await inserted
    const second = node().resolve(token('https://a.test', 'ada'))
    const deadline = performance.now() + 5_000
    while (!(await isSomebodyWaiting())) assert.ok(performance.now() < deadline, 'nobody waits')
    open()
    assert.equal(await second, await first)
    assert.deepEqual(await count(), { users: 1, identities: 1 })
  })

  async function isSomebodyWaiting(): Promise<boolean> {
    const rows = await database.sql`
      select 1 from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`
    return rows.length > 0
  }

  test('50 people at once are 50 users', async () => {
    const directory = node()
    const ids = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        directory.resolve(token('https://a.test', `p${index}`)),
      ),
    )
    assert.equal(new Set(ids).size, 50)
    assert.deepEqual(await count(), { users: 50, identities: 50 })
  })

  test('the same subject, and the same e-mail address, of two issuers are two users', async () => {
    const directory = node()
    const [a, b] = [
      await directory.resolve(token('https://a.test', 'ada')),
      await directory.resolve(token('https://b.test', 'ada')),
    ]
    assert.notEqual(a, b)
    assert.deepEqual(await count(), { users: 2, identities: 2 })
  })

  const different: readonly (readonly [issuer: string, subject: string])[] = [
    ['https://a.test', 'ada'],
    ['https://a.test', 'Ada'],
    ['https://a.test', 'ada '],
    ['https://a.test', ' ada'],
    ['https://a.test/', 'ada'],
    ['https://A.test', 'ada'],
    ['https://a.test', 'x ada'],
    ['https://a.test', 'é'],
    ['https://a.test', 'e\u0301'],
    ['https://a.test', '%'],
    ['https://a.test', '_da'],
    ['https://a.test', "ada' or '1'='1"],
    ['https://a.test', '__proto__'],
    ['https://a.test', 'constructor'],
    ['https://a.test', '\u{1f600}'],
    ['https://a.test', 'x'.repeat(255)],
  ]
  test('pairs that differ in anything are different users', async () => {
    const directory = node()
    const ids = []
    for (const [issuer, subject] of different)
      ids.push(await directory.resolve(token(issuer, subject)))
    assert.equal(new Set(ids).size, different.length)
    for (const [index, [issuer, subject]] of different.entries()) {
      assert.equal(await directory.resolve(token(issuer, subject)), ids[index])
      assert.equal(await node().resolve(token(issuer, subject)), ids[index])
    }
  })

  test('a known person costs no question to the database', async () => {
    let questions = 0
    const repository = createIdentitiesRepository(database)
    const directory = node({
      ...repository,
      findUserId: (issuer, subject) => {
        questions++
        return repository.findUserId(issuer, subject)
      },
    })
    await directory.resolve(token('https://a.test', 'ada'))
    const asked = questions
    for (let round = 0; round < 10; round++) await directory.resolve(token('https://a.test', 'ada'))
    assert.equal(questions, asked)
  })

  test('what is remembered is bounded: of a thousand people only the latest few', async () => {
    const asked: string[] = []
    const directory = node(
      {
        ...createIdentitiesRepository(database),
        findUserId: async (_issuer, subject) => {
          asked.push(subject)
          return randomUUID()
        },
      },
      10,
    )
    const people = Array.from({ length: 1000 }, (_, index) => token('https://a.test', `p${index}`))
    for (const person of people) await directory.resolve(person)
    asked.length = 0
    for (const person of people.toReversed()) await directory.resolve(person)
    // The cache keeps up to twice its size for a while.
    assert.ok(1000 - asked.length <= 20, `${1000 - asked.length} were remembered`)
    assert.ok(asked.length < 1000, 'nothing was remembered')
  })

  test('a failed creation leaves nothing behind, and the next try succeeds', async () => {
    const repository = createIdentitiesRepository(database)
    const broken = node({
      ...repository,
      insert: async (row) => {
        await repository.insert(row)
        throw new Error('killed')
      },
    })
    await assert.rejects(broken.resolve(token('https://a.test', 'ada')), /killed/)
    assert.deepEqual(await count(), { users: 0, identities: 0 })
    assert.match(await node().resolve(token('https://a.test', 'ada')), uuid)
  })

  test('it knows who exists', async () => {
    const directory = node()
    assert.equal(
      await directory.exists(await directory.resolve(token('https://a.test', 'ada'))),
      true,
    )
    assert.equal(await directory.exists(randomUUID()), false)
  })
})

describe('first requests over HTTP', () => {
  const whoami = defineFeature({
    name: 'whoami',
    setup: () => ({
      routes(app) {
        const schema = {
          response: { 200: { type: 'object', properties: { userId: { type: 'string' } } } },
        }
        app.get('/auth/whoami', { config: { access: userAccess() }, schema }, async (request) => ({
          userId: principalOf(request).userId,
        }))
      },
    }),
  })
  let app: TestApp
  before(async () => {
    app = await createTestApp([identity, whoami])
  })
  after(async () => app.close())
  beforeEach(async () => {
    await app.database.sql`delete from users`
  })

  const userCount = async (): Promise<number> =>
    (await app.database.sql`select 1 from users`).length

  test('50 first requests of a new phone at once make one user', async () => {
    // Each with a token of its own, so that the cache of tokens does not join them.
    const replies = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        app.as('ada', { jti: String(index) }).get('/auth/whoami'),
      ),
    )
    assert.deepEqual(new Set(replies.map((reply) => reply.statusCode)), new Set([200]))
    const ids = new Set(replies.map((reply) => reply.json<{ userId: string }>().userId))
    assert.equal(ids.size, 1)
    assert.match([...ids][0] ?? '', uuid)
    assert.equal(await userCount(), 1)
  })

  test('a refused token makes nobody', async () => {
    for (const claims of [
      { aud: 'elsewhere' },
      { iss: 'https://evil.test' },
      { exp: 1 },
      { sub: 'a\0b' },
    ]) {
      const reply = await app.as('mallory', claims).get('/auth/whoami')
      assert.equal(reply.statusCode, 401)
    }
    assert.equal(await userCount(), 0)
  })

  test('a body, query or header that names a person makes nobody', async () => {
    for (const query of ['', '?userId=x', '?sub=x', '?email=a@b.test'])
      assert.equal(
        (await app.anybody.get(`/auth/whoami${query}`, { 'x-user': 'ada' })).statusCode,
        401,
      )
    assert.equal(await userCount(), 0)
  })
})
