import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { identity } from '@quayside/identity'
import { createTestApp, type TestApp } from '@quayside/platform/testing'
import { profiles } from './index.ts'

const empty = { displayName: null, locale: null, timeZone: null, pictureUrl: null }
const missing = '01890000-0000-7000-8000-000000000000'

describe('profiles', () => {
  let t: TestApp
  before(async () => {
    t = await createTestApp([identity, profiles])
  })
  after(() => t.close())

  test('everybody has a profile from the start', async () => {
    const reply = await t.as('ann').get('/auth/profile')
    assert.equal(reply.statusCode, 200)
    const { profile } = reply.json()
    assert.deepEqual(profile, { userId: profile.userId, ...empty })
  })

  test('a change keeps what it does not name, and null clears', async () => {
    const bob = t.as('bob')
    const first = await bob.patch('/auth/profile', {
      displayName: 'Bob 🌊',
      locale: 'de-at',
      timeZone: 'Europe/Vienna',
    })
    assert.equal(first.statusCode, 200, first.body)
    assert.deepEqual(first.json().profile, {
      userId: first.json().profile.userId,
      displayName: 'Bob 🌊',
      locale: 'de-AT',
      timeZone: 'Europe/Vienna',
      pictureUrl: null,
    })
    const second = await bob.patch('/auth/profile', { displayName: null })
    assert.equal(second.json().profile.displayName, null)
    assert.equal(second.json().profile.locale, 'de-AT')
    assert.deepEqual((await bob.get('/auth/profile')).json(), second.json())
  })

  test('others see the name and nothing else', async () => {
    const carla = await t.as('carla').patch('/auth/profile', { displayName: 'Carla', locale: 'es' })
    const { userId } = carla.json().profile
    const seen = await t.as('ann').get(`/auth/profiles/${userId.toUpperCase()}`)
    assert.deepEqual(seen.json(), { profile: { userId, displayName: 'Carla', pictureUrl: null } })
  })

  test('a person without a profile row is shown without a name, a missing one is 404', async () => {
    const { userId } = (await t.as('quiet').get('/auth/profile')).json().profile
    const seen = await t.as('ann').get(`/auth/profiles/${userId}`)
    assert.deepEqual(seen.json(), { profile: { userId, displayName: null, pictureUrl: null } })
    const absent = await t.as('ann').get(`/auth/profiles/${missing}`)
    assert.equal(absent.statusCode, 404)
    assert.equal(absent.json().code, 'profile_not_found')
  })

  test('If-Match refuses a change based on an old state, and two of the same state make one', async () => {
    const dora = t.as('dora')
    const { etag } = (await dora.get('/auth/profile')).headers
    const match = { 'if-match': String(etag) }
    const replies = await Promise.all([
      dora.patch('/auth/profile', { displayName: 'One' }, match),
      dora.patch('/auth/profile', { displayName: 'Two' }, match),
    ])
    assert.deepEqual(new Set(replies.map(({ statusCode }) => statusCode)), new Set([200, 412]))
    const won = replies.find(({ statusCode }) => statusCode === 200)
    const now = await dora.get('/auth/profile')
    assert.deepEqual(now.json(), won?.json())
    const known = await dora.get('/auth/profile', { 'if-none-match': String(now.headers['etag']) })
    assert.equal(known.statusCode, 304)
  })

  const refused: readonly (readonly [name: string, body: unknown, code: string])[] = [
    ['nothing', {}, 'invalid_request'],
    ['an unknown member', { admin: true }, 'invalid_request'],
    ['a picture', { pictureUrl: 'https://example.com/x.png' }, 'invalid_request'],
    ['another user id', { userId: missing, displayName: 'x' }, 'invalid_request'],
    ['an empty name', { displayName: '' }, 'invalid_request'],
    ['a name of 101 characters', { displayName: 'x'.repeat(101) }, 'invalid_request'],
    ['a name of blanks', { displayName: '   ' }, 'display_name_invalid'],
    ['a name with a line break', { displayName: 'a\nb' }, 'display_name_invalid'],
    ['a name that is a number', { displayName: 7 }, 'invalid_request'],
    ['a locale that is none', { locale: 'not a locale' }, 'locale_unknown'],
    ['a time zone that is none', { timeZone: 'Mars/Olympus' }, 'time_zone_unknown'],
    ['a time zone that is an offset', { timeZone: '+02:00' }, 'time_zone_unknown'],
  ]
  for (const [name, body, code] of refused) {
    test(`a change with ${name} is refused with ${code} and changes nothing`, async () => {
      const client = t.as('steady')
      await client.patch('/auth/profile', { displayName: 'Steady' })
      const before = (await client.get('/auth/profile')).json()
      const reply = await client.patch('/auth/profile', body)
      assert.equal(reply.statusCode, 400)
      assert.equal(reply.json().code, code)
      assert.deepEqual((await client.get('/auth/profile')).json(), before)
    })
  }

  for (const url of ['/auth/profile', `/auth/profiles/${missing}`]) {
    test(`GET ${url} without a token answers 401`, async () => {
      assert.equal((await t.anybody.get(url)).statusCode, 401)
    })
  }

  test('PATCH without a token answers 401 and changes nothing', async () => {
    const [before] = await t.database.sql`select count(*) from profiles`
    assert.equal((await t.anybody.patch('/auth/profile', { displayName: 'x' })).statusCode, 401)
    const [after] = await t.database.sql`select count(*) from profiles`
    assert.deepEqual(after, before)
  })

  test('a profile that is no UUID in the path is refused with 400', async () => {
    assert.equal((await t.as('ann').get('/auth/profiles/me')).statusCode, 400)
  })
})
