import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, beforeEach, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from 'typebox'
import { v7 as uuidv7 } from 'uuid'
import { AppError } from '../errors.ts'
import { defineFeature } from '../feature.ts'
import { serviceAccess } from '../http/access.ts'
import {
  createFakeClock,
  createTestApp,
  createTestDatabase,
  type TestApp,
  type TestDatabase,
} from '../testing/index.ts'
import { type ApiKeys, createApiKeys } from './api-keys.ts'
import { createApiKeysRepository } from './api-keys.repository.ts'

const silent = { warn: () => {} }

function keysOn(database: TestDatabase, clock = createFakeClock()): ApiKeys {
  return createApiKeys({
    keys: createApiKeysRepository(database),
    clock,
    newId: () => uuidv7(),
    log: silent,
  })
}

const hasCode = (code: string) => (error: unknown) =>
  error instanceof AppError && error.code === code

/** Something else in the place of one character. */
const alter = (text: string, index: number): string =>
  `${text.slice(0, index)}${text[index] === 'A' ? 'B' : 'A'}${text.slice(index + 1)}`

describe('API keys', () => {
  const clock = createFakeClock()
  let database: TestDatabase
  let keys: ApiKeys
  before(async () => {
    database = await createTestDatabase()
    keys = keysOn(database, clock)
  })
  after(async () => database.close())
  beforeEach(async () => {
    clock.set('2026-01-01T00:00:00.000Z')
    await database.sql`delete from api_keys`
  })

  test('creating one is possible as the first thing that a process does', async () => {
    const fresh = await createTestDatabase()
    try {
      const { key } = await keysOn(fresh).create({
        name: 'jarvis',
        scopes: ['users:write', 'users:read'],
      })
      assert.deepEqual(key.scopes, ['users:read', 'users:write'])
    } finally {
      await fresh.close()
    }
  })

  test('a key begins with qk_, holds 256 random bits, and is shown once', async () => {
    const { key, secret } = await keys.create({ name: 'jarvis', scopes: ['users:read'] })
    assert.match(secret, /^qk_[0-9a-f]{32}_[A-Za-z0-9_-]{43}$/)
    assert.equal(secret.slice(3, 35), key.id.replaceAll('-', ''))
    const { secret: other } = await keys.create({ name: 'other', scopes: ['users:read'] })
    assert.notEqual(other.slice(36), secret.slice(36))
    for (const shown of [key, await keys.list()]) {
      assert.ok(!JSON.stringify(shown).includes(secret.slice(36)))
      assert.ok(!JSON.stringify(shown).includes('hash'))
    }
  })

  test('only its SHA-256 is stored, nowhere the key itself', async () => {
    const { secret } = await keys.create({ name: 'jarvis', scopes: ['users:read'] })
    const [row] = await database.sql<{ all: string; hash: Buffer }[]>`
      select api_keys::text as all, hash from api_keys`
    assert.deepEqual(row?.hash, createHash('sha256').update(secret).digest())
    const random = Buffer.from(secret.slice(36))
    for (const form of ['utf8', 'base64', 'base64url', 'hex'] as const)
      assert.ok(!row.all.includes(random.toString(form)))
    assert.ok(!row.all.includes(Buffer.from(secret.slice(36), 'base64url').toString('hex')))
  })

  test('a good key is its own principal, with exactly its scopes and no roles', async () => {
    const { key, secret } = await keys.create({
      name: 'jarvis',
      scopes: ['b:write', 'a:read', 'b:write'],
    })
    assert.deepEqual(await keys.authenticate(secret), {
      userId: key.id,
      subject: key.id,
      issuer: 'quayside:api-keys',
      roles: [],
      scopes: ['a:read', 'b:write'],
      assurance: 'aal1',
      claims: { name: 'jarvis' },
      via: 'api-key',
    })
  })

  test('a key altered anywhere is refused', async () => {
    const { secret } = await keys.create({ name: 'jarvis', scopes: ['users:read'] })
    // The last of 43 characters carries bits that decoding drops; the text is compared, so it counts.
    for (const index of [0, 2, 3, 20, 34, 35, 36, 60, secret.length - 2, secret.length - 1])
      await assert.rejects(
        keys.authenticate(alter(secret, index)),
        hasCode('api_key_invalid'),
        `at ${index}`,
      )
  })

  const strange: readonly [string, (secret: string) => string][] = [
    ['nothing', () => ''],
    ['the prefix', () => 'qk_'],
    ['an unknown key', () => `qk_${'0'.repeat(32)}_${'A'.repeat(43)}`],
    ['one too short', (secret) => secret.slice(0, -1)],
    ['one too long', (secret) => `${secret}A`],
    ['upper case', (secret) => secret.toUpperCase()],
    ['a space before', (secret) => ` ${secret}`],
    ['a line break behind', (secret) => `${secret}\n`],
    ['padding', (secret) => `${secret}=`],
    ['only its id', (secret) => secret.slice(0, 36)],
    ['its hash', (secret) => createHash('sha256').update(secret).digest('base64url')],
    ['SQL', () => "qk_' or true --"],
    ['a NUL', (secret) => `${secret}\0`],
    ['a megabyte', () => `qk_${'a'.repeat(1_000_000)}`],
  ]
  for (const [name, make] of strange)
    test(`${name} is refused`, async () => {
      const { secret } = await keys.create({ name: 'jarvis', scopes: ['users:read'] })
      await assert.rejects(keys.authenticate(make(secret)), hasCode('api_key_invalid'))
    })

  test('the id of one key with the random part of another is refused', async () => {
    const [one, two] = [
      await keys.create({ name: 'one', scopes: ['users:read'] }),
      await keys.create({ name: 'two', scopes: ['users:write'] }),
    ]
    const mixed = one.secret.slice(0, 36) + two.secret.slice(36)
    await assert.rejects(keys.authenticate(mixed), hasCode('api_key_invalid'))
  })

  test('a revoked key is refused at once, by name or by id, and stays in the list', async () => {
    for (const by of ['name', 'id'] as const) {
      const { key, secret } = await keys.create({ name: 'jarvis', scopes: ['users:read'] })
      await keys.authenticate(secret)
      await keys.revoke(key[by])
      await assert.rejects(keys.authenticate(secret), hasCode('api_key_invalid'))
    }
    const listed = await keys.list()
    assert.deepEqual(
      listed.map(({ revokedAt }) => revokedAt),
      ['2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z'],
    )
  })

  test('a key cannot be revoked twice, nor one that is not there', async () => {
    await keys.create({ name: 'jarvis', scopes: ['users:read'] })
    await keys.revoke('jarvis')
    for (const name of ['jarvis', 'nobody', '', '%', uuidv7()])
      await assert.rejects(keys.revoke(name), hasCode('api_key_not_found'))
  })

  test('the name of a live key is taken, that of a revoked one is free again', async () => {
    const first = await keys.create({ name: 'jarvis', scopes: ['users:read'] })
    await assert.rejects(
      keys.create({ name: 'jarvis', scopes: ['users:read'] }),
      hasCode('api_key_name_taken'),
    )
    await keys.revoke('jarvis')
    const second = await keys.create({ name: 'jarvis', scopes: ['users:read'] })
    await keys.authenticate(second.secret)
    await assert.rejects(keys.authenticate(first.secret), hasCode('api_key_invalid'))
  })

  test('of many who create the same name at once, one succeeds', async () => {
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, () => keys.create({ name: 'jarvis', scopes: ['users:read'] })),
    )
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
    assert.equal((await keys.list()).length, 1)
  })

  test('a key ends at its end, to the millisecond', async () => {
    const { secret, key } = await keys.create({
      name: 'jarvis',
      scopes: ['users:read'],
      expiresAt: new Date('2026-01-02T00:00:00.000Z'),
    })
    assert.equal(key.expiresAt, '2026-01-02T00:00:00.000Z')
    clock.set('2026-01-01T23:59:59.999Z')
    await keys.authenticate(secret)
    clock.set('2026-01-02T00:00:00.000Z')
    await assert.rejects(keys.authenticate(secret), hasCode('api_key_invalid'))
  })

  test('a key without an end has none', async () => {
    const { secret, key } = await keys.create({ name: 'jarvis', scopes: ['users:read'] })
    assert.equal(key.expiresAt, null)
    clock.set('2099-01-01T00:00:00.000Z')
    await keys.authenticate(secret)
  })

  for (const name of ['', ' ', '-a', 'a b', 'a/b', "a'b", 'ä', 'a\n', 'a'.repeat(65)])
    test(`${JSON.stringify(name.slice(0, 10))} is no name for a key`, async () => {
      await assert.rejects(
        keys.create({ name, scopes: ['users:read'] }),
        hasCode('api_key_name_invalid'),
      )
    })

  for (const scopes of [
    [],
    [''],
    ['users'],
    ['users:'],
    [':read'],
    ['Users:read'],
    ['users:read write'],
    ['users:read', '*'],
    ['users:*'],
    ['a:b:c'],
    ['users:read\n'],
  ])
    test(`${JSON.stringify(scopes)} are no scopes`, async () => {
      await assert.rejects(
        keys.create({ name: 'jarvis', scopes }),
        hasCode('api_key_scope_invalid'),
      )
      assert.deepEqual(await keys.list(), [])
    })

  describe('record their last use', () => {
    const lastUse = async (): Promise<string | null | undefined> =>
      (await keys.list())[0]?.lastUsedAt

    async function used(expected: string): Promise<void> {
      const deadline = performance.now() + 5_000
      while ((await lastUse()) !== expected) {
        assert.ok(performance.now() < deadline, 'the use was not recorded')
        await sleep(5)
      }
    }

    test('when they are used, at most once a minute', async () => {
      const { secret } = await keys.create({ name: 'jarvis', scopes: ['users:read'] })
      assert.equal(await lastUse(), null)
      await keys.authenticate(secret)
      await used('2026-01-01T00:00:00.000Z')
      clock.advance(59_999)
      await keys.authenticate(secret)
      assert.equal(await lastUse(), '2026-01-01T00:00:00.000Z')
      clock.advance(1)
      await keys.authenticate(secret)
      await used('2026-01-01T00:01:00.000Z')
    })

    test('but not when they are refused', async () => {
      const { secret } = await keys.create({ name: 'jarvis', scopes: ['users:read'] })
      await assert.rejects(keys.authenticate(alter(secret, 40)))
      await keys.revoke('jarvis')
      await assert.rejects(keys.authenticate(secret))
      assert.equal(await lastUse(), null)
    })

    test('and a record that fails does not fail the request', async () => {
      const { secret } = await keys.create({ name: 'jarvis', scopes: ['users:read'] })
      const warned = Promise.withResolvers<void>()
      const repository = createApiKeysRepository(database)
      const broken = createApiKeys({
        keys: { ...repository, touch: () => Promise.reject(new Error('read-only')) },
        clock,
        newId: () => uuidv7(),
        log: { warn: () => warned.resolve() },
      })
      assert.equal((await broken.authenticate(secret)).via, 'api-key')
      await warned.promise
    })
  })
})

describe('API keys over HTTP', () => {
  const feature = defineFeature({
    name: 'internal',
    setup: () => ({
      routes(app) {
        const schema = { response: { 200: Type.Object({ name: Type.Unknown() }) } }
        app.get(
          '/internal/who',
          { config: { access: serviceAccess('users:read') }, schema },
          async ({ principal }) => ({
            name: principal?.claims['name'],
          }),
        )
      },
    }),
  })
  let app: TestApp
  let keys: ApiKeys
  before(async () => {
    app = await createTestApp([feature])
    keys = keysOn(app.database, app.clock)
  })
  after(async () => app.close())

  const get = (key: string) => app.anybody.get('/internal/who', { 'x-api-key': key })

  test('a key that was revoked or has expired answers 401 with a challenge, whatever it was before', async () => {
    const { secret } = await keys.create({ name: 'revoked', scopes: ['users:read'] })
    const { secret: ending } = await keys.create({
      name: 'expired',
      scopes: ['users:read'],
      expiresAt: new Date(app.clock.now().getTime() + 1000),
    })
    assert.deepEqual((await get(secret)).json(), { name: 'revoked' })
    assert.deepEqual((await get(ending)).json(), { name: 'expired' })
    await keys.revoke('revoked')
    app.clock.advance(1000)
    for (const key of [secret, ending, 'qk_unknown', `qk_${'0'.repeat(32)}_${'A'.repeat(43)}`]) {
      const reply = await get(key)
      assert.equal(reply.statusCode, 401)
      assert.equal(reply.json<{ code: string }>().code, 'api_key_invalid')
      assert.equal(reply.headers['www-authenticate'], 'Api-Key realm="quayside"')
    }
  })

  test('the key is in no log line', async () => {
    const { secret } = await keys.create({ name: 'logged', scopes: ['users:read'] })
    await get(secret)
    await get(alter(secret, 50))
    await app.anybody.get(`/internal/who?apikey=${secret}`)
    await app.anybody.get(`/internal/${secret}`)
    assert.ok(!JSON.stringify(app.logged()).includes(secret.slice(36, 49)))
  })
})
