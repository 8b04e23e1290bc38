import assert from 'node:assert/strict'
import { Agent } from 'node:https'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { type Refusal, firebaseRefusals } from './support/firebase-refusals.ts'
import { certificatesOf, createSigningKey, firebaseClaims } from './support/firebase-token.ts'
import { projectId, signToken } from './support/firebase-token.ts'
import { type KeyServer, startKeyServer } from './support/key-server.ts'
import { assertRefused, createOrdersClient, itemsOf } from './support/orders-client.ts'
import { loadPeer } from './support/peer-package.ts'
import { type ServerProcess, startServer } from './support/server-process.ts'

const key = createSigningKey()
const unpublished = createSigningKey()
// Made once: the log is searched for exactly these at the end.
const refusals = firebaseRefusals(key, unpublished)
const startStrict = (keys: KeyServer) =>
  startServer({ FIREBASE_PROJECT_ID: projectId, FIREBASE_KEYS_URL: keys.url })

/** Ordinary and odd, but right: we must not be stricter than the documentation either. */
const nowS = Math.floor(Date.now() / 1000)
const acceptable = [
  ['an ordinary token', {}],
  ['a sub of 128 characters', { sub: 'b'.repeat(128) }],
  ['a sub with other alphabets', { sub: 'Жанна+é/😀' }],
  ['an anonymous user', { sub: 'anonymous', firebase: { sign_in_provider: 'anonymous' } }],
  ['an iat half a minute ahead', { iat: nowS + 30, auth_time: nowS + 30 }],
  ['a sign-in of last year', { auth_time: nowS - 31_536_000 }],
] as const

describe('Firebase tokens signed as Google signs them', () => {
  const stack = new AsyncDisposableStack()
  let keys: KeyServer
  let server: ServerProcess
  before(async () => {
    keys = stack.use(await startKeyServer(certificatesOf(createSigningKey(), key)))
    server = stack.use(await startStrict(keys))
  })
  after(() => stack.disposeAsync())

  for (const [name, changes] of acceptable)
    test(`accepted: ${name}`, async () => {
      const token = signToken(firebaseClaims(changes), key)
      assert.equal((await createOrdersClient(server.url, token).list()).status, 200)
    })

  test('a token is one user, whatever else it says', async () => {
    const bearer = (changes: Record<string, unknown>) =>
      createOrdersClient(server.url, signToken(firebaseClaims(changes), key))
    assert.equal((await bearer({ sub: 'carol' }).place('Anchor')).status, 201)
    const renewed = { sub: 'carol', email: 'new@example.com', iat: nowS }
    assert.deepEqual(itemsOf(await bearer(renewed).list()), ['Anchor'])
    assert.deepEqual(itemsOf(await bearer({ sub: 'Carol' }).list()), [])
  })

  for (const refusal of refusals)
    test(`refused, and nothing is written: ${refusal.name}`, async () => {
      await server.database.assertUntouched(async () => {
        const client = createOrdersClient(server.url, refusal.token)
        const { code = 'token_invalid' } = refusal
        assertRefused(await client.place('Anchor'), 401, code)
        assertRefused(await client.list(), 401, code)
      })
    })

  test('a flood of unknown keys does not become a flood of requests to Google', async () => {
    const earlier = keys.requests()
    const flood = Array.from({ length: 40 }, (_, index) => {
      const header = { kid: `guess-${index}` }
      const token = signToken(firebaseClaims({ sub: 'mallory' }), key, { header })
      return createOrdersClient(server.url, token).list()
    })
    for (const answer of await Promise.all(flood)) assertRefused(answer, 401, 'token_invalid')
    assert.ok(keys.requests() <= earlier + 1)
  })

  test('an accepted token ends at its exp, also when it is remembered', async () => {
    const client = createOrdersClient(server.url, signToken(firebaseClaims({ sub: 'dora' }), key))
    assert.equal((await client.list()).status, 200)
    await server.moveClock(3_540_000)
    assertRefused(await client.list(), 401, 'token_expired')
  })

  test('no part of a refused token reaches the log', () => {
    for (const { name, token } of refusals)
      for (const part of token.split('.').filter(({ length }) => length > 20))
        assert.ok(!server.output().includes(part), name)
  })
})

describe("Google's Admin SDK on the same tokens", () => {
  const stack = new AsyncDisposableStack()
  let keys: KeyServer
  let admin: AdminSdk
  before(async () => {
    keys = stack.use(await startKeyServer(certificatesOf(key)))
    admin = stack.use(await startAdminSdk(keys))
  })
  after(() => stack.disposeAsync())

  test('what we accept, it accepts', async () => {
    for (const [name, changes] of acceptable)
      assert.ok(await admin.accepts(signToken(firebaseClaims(changes), key)), name)
  })

  test('what it refuses, we refuse; what only we refuse is listed', async () => {
    const verdict = async ({ name, token }: Refusal) => ((await admin.accepts(token)) ? [name] : [])
    const accepted = (await Promise.all(refusals.map(verdict))).flat()
    const listed = refusals.filter(({ adminAccepts }) => adminAccepts).map(({ name }) => name)
    assert.deepEqual(accepted, listed)
    assert.ok(keys.requests() > 0, 'The Admin SDK never asked for the keys.')
  })
})

describe("Firebase's key server", () => {
  const claims = (sub: string) => firebaseClaims({ sub })

  test('down before the first token: 503 and not 401; up again: 200', async () => {
    await using keys = await startKeyServer({ error: 'quota' })
    await keys.stop()
    await using server = await startStrict(keys)
    const client = createOrdersClient(server.url, signToken(claims('eve'), key))
    assertRefused(await client.list(), 503, 'keys_unavailable')
    // No key could ever make this token good, so the outage does not matter to it.
    const unsigned = signToken(claims('eve'), key, { header: { alg: 'none' } })
    assertRefused(await createOrdersClient(server.url, unsigned).list(), 401, 'token_invalid')
    assert.deepEqual(await server.database.countRows(), empty)

    // Up, but with an error for an answer.
    await keys.start()
    await server.moveClock(5000)
    assertRefused(await client.list(), 503, 'keys_unavailable')
    keys.publish(certificatesOf(key))
    await server.moveClock(5000)
    assert.equal((await client.list()).status, 200)
  })

  test('down later: tokens of known keys go on, for longer than the keys were promised', async () => {
    await using keys = await startKeyServer(certificatesOf(key))
    await using server = await startStrict(keys)
    const list = (sub: string, by = key, moreS = 0) => {
      const exp = Math.floor(Date.now() / 1000) + 3600 + moreS
      const token = signToken({ ...claims(sub), exp }, by)
      return createOrdersClient(server.url, token).list()
    }
    assert.equal((await list('first')).status, 200)
    await keys.stop()
    assert.equal((await list('second')).status, 200)
    // Six hours are promised by Cache-Control; the seventh finds the server down.
    const hoursS = 7 * 3600
    await server.moveClock(hoursS * 1000)
    assert.equal((await list('third', key, hoursS)).status, 200)
    // A key never seen may be a new one: that cannot be known now, so it is no 401.
    assertRefused(await list('fourth', unpublished, hoursS), 503, 'keys_unavailable')
    assert.equal((await list('fifth', key, hoursS)).status, 200)
  })

  test('a new key is picked up, and a withdrawn one no longer counts', async () => {
    await using keys = await startKeyServer(certificatesOf(key))
    await using server = await startStrict(keys)
    const list = (sub: string, by = key) =>
      createOrdersClient(server.url, signToken(claims(sub), by)).list()
    assert.equal((await list('before')).status, 200)
    const next = createSigningKey()
    keys.publish(certificatesOf(next))
    await server.moveClock(30_000)
    assert.equal((await list('after', next)).status, 200)
    assertRefused(await list('late'), 401, 'token_invalid')
    // There is one key now, so a server could guess it: a token that names none stays refused.
    const nameless = signToken(claims('nameless'), next, { header: { kid: undefined } })
    assertRefused(await createOrdersClient(server.url, nameless).list(), 401, 'token_invalid')
  })
})

const empty = { users: 0, identities: 0, orders: 0, profiles: 0, idempotency_keys: 0 }

interface AdminSdk extends AsyncDisposable {
  accepts(token: string): Promise<boolean>
}

/**
 * The Admin SDK in its production mode. It only ever asks Google's address for keys, so its agent
 * is told to connect to our key server instead; nothing inside it is replaced.
 */
async function startAdminSdk(keys: KeyServer): Promise<AdminSdk> {
  const { initializeApp, deleteApp } = await loadPeer<FirebaseAdminApp>('firebase-admin/app')
  const { getAuth } = await loadPeer<FirebaseAdminAuth>('firebase-admin/auth')
  const httpAgent = Object.assign(new Agent(), {
    createConnection: () => connect(keys.port, '127.0.0.1'),
  })
  const app = initializeApp({ projectId, httpAgent })
  return {
    async accepts(token) {
      try {
        await getAuth(app).verifyIdToken(token)
        return true
      } catch (error) {
        // It must have judged the token, not failed to get the keys.
        assert.doesNotMatch(String(error), /fetching public keys/)
        return false
      }
    },
    async [Symbol.asyncDispose]() {
      httpAgent.destroy()
      await deleteApp(app)
    },
  }
}

interface FirebaseAdminApp {
  initializeApp(options: { projectId: string; httpAgent: Agent }): object
  deleteApp(app: object): Promise<void>
}

interface FirebaseAdminAuth {
  getAuth(app: object): { verifyIdToken(token: string): Promise<unknown> }
}
