import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { createEmulatorAccounts } from './support/emulator-accounts.ts'
import { createSigningKey, encode, firebaseClaims, signToken } from './support/firebase-token.ts'
import { findFreePort } from './support/free-port.ts'
import { assertRefused, createOrdersClient, itemsOf } from './support/orders-client.ts'
import { loadPeer } from './support/peer-package.ts'
import { failToStart, type ServerProcess, startServer } from './support/server-process.ts'

const projectId = 'demo-quayside'
const host = process.env['E2E_FIREBASE_EMULATOR'] ?? ''
const accounts = createEmulatorAccounts(host, projectId)
const password = 'correct horse'
const newEmail = () => `${randomUUID()}@example.com`

describe('Tokens of the Firebase Auth emulator', () => {
  const stack = new AsyncDisposableStack()
  let server: ServerProcess
  before(async () => {
    const env = { FIREBASE_PROJECT_ID: projectId, FIREBASE_AUTH_EMULATOR_HOST: host }
    server = stack.use(await startServer(env))
  })
  after(() => stack.disposeAsync())
  const as = (token: string) => createOrdersClient(server.url, token)

  test('somebody signs up and in, places an order and reads it back', async () => {
    const email = newEmail()
    await accounts.signUp(email, password)
    const { idToken } = await accounts.signIn(email, password)
    const placed = await as(idToken).place('Mooring line', 19.99)
    assert.equal(placed.status, 201)
    const { order } = placed.body as { order: { id: string } }
    assert.equal(placed.headers.get('location'), `/auth/orders/${order.id}`)
    const listed = await as(idToken).list()
    assert.deepEqual(listed.body, { orders: [order], nextCursor: null })
    const { id, createdAt, ...rest } = order as Record<string, unknown>
    assert.deepEqual(rest, { item: 'Mooring line', total: 19.99 })
    assert.match(String(id), /^[0-9a-f]{8}-[0-9a-f]{4}-7/)
    assert.match(String(createdAt), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  })

  test('two users see only their own orders', async () => {
    const [ann, ben] = [
      await accounts.signUp(newEmail(), password),
      await accounts.signUp(newEmail(), password),
    ]
    await as(ann.idToken).place('Rope')
    await as(ben.idToken).place('Buoy')
    assert.deepEqual(itemsOf(await as(ann.idToken).list()), ['Rope'])
    assert.deepEqual(itemsOf(await as(ben.idToken).list()), ['Buoy'])
  })

  test('a refreshed token is another token of the same user', async () => {
    const user = await accounts.signUp(newEmail(), password)
    await as(user.idToken).place('Fender')
    const renewed = await newerToken(user.idToken, () => accounts.refresh(user.refreshToken))
    assert.deepEqual(itemsOf(await as(renewed).list()), ['Fender'])
  })

  test('an anonymous user is a user, and stays the same one', async () => {
    const { idToken, refreshToken } = await accounts.signUpAnonymously()
    assert.equal((await as(idToken).place('Lamp')).status, 201)
    const renewed = await newerToken(idToken, () => accounts.refresh(refreshToken))
    assert.deepEqual(itemsOf(await as(renewed).list()), ['Lamp'])
  })

  test("the app's own SDK signs in, refreshes, and its tokens work", async () => {
    await using app = await startApp()
    const email = newEmail()
    const { user } = await app.signUp(email)
    assert.equal((await as(await user.getIdToken()).place('Sail')).status, 201)
    await app.signOut()
    const again = (await app.signIn(email)).user
    const token = await again.getIdToken()
    assert.deepEqual(itemsOf(await as(token).list()), ['Sail'])
    const renewed = await newerToken(token, () => again.getIdToken(true))
    assert.deepEqual(itemsOf(await as(renewed).list()), ['Sail'])
  })

  const nowS = Math.floor(Date.now() / 1000)
  const ours = { aud: projectId, iss: `https://securetoken.google.com/${projectId}` }
  const unsigned = (claims: object, header: object = {}) =>
    `${encode({ alg: 'none', typ: 'JWT', ...header })}.${encode({ ...firebaseClaims(ours), ...claims })}.`
  const refusals = [
    ['expired', unsigned({ exp: nowS - 1 }), 'token_expired'],
    ['of another project', unsigned({ aud: 'demo-other' })],
    ['of another issuer', unsigned({ iss: 'https://securetoken.google.com/demo-other' })],
    ['without a subject', unsigned({ sub: '' })],
    ['without an end', unsigned({ exp: undefined })],
    ['signed in tomorrow', unsigned({ auth_time: nowS + 86_400 })],
    ['that claims to be signed', unsigned({}, { alg: 'RS256', kid: 'x' })],
    ['that is signed', signToken(firebaseClaims(ours), createSigningKey())],
    ['with something where the signature is not', `${unsigned({})}AAAA`],
  ] as const
  for (const [name, token, code = 'token_invalid'] of refusals)
    test(`an emulator token ${name} is refused, and nothing is written`, async () => {
      await server.database.assertUntouched(async () => {
        assertRefused(await as(token).place('Anchor'), 401, code)
      })
    })

  test('the same form with nothing wrong is accepted, so the refusals above mean something', async () => {
    assert.equal((await as(unsigned({})).list()).status, 200)
  })

  test('the banner warns of unsigned tokens', () => {
    assert.match(server.output(), /WARNING: unsigned tokens of the Firebase emulator are accepted/)
  })
})

describe('FIREBASE_CHECK_REVOKED', () => {
  const settings = { FIREBASE_PROJECT_ID: projectId, FIREBASE_CHECK_REVOKED: 'true' }
  const stack = new AsyncDisposableStack()
  let server: ServerProcess
  before(async () => {
    server = stack.use(await startServer({ ...settings, FIREBASE_AUTH_EMULATOR_HOST: host }))
  })
  after(() => stack.disposeAsync())
  const as = (token: string) => createOrdersClient(server.url, token)
  const endings = [
    ['disabled', (id: string) => accounts.update(id, { disableUser: true })],
    ['deleted', (id: string) => accounts.delete(id)],
    ['signed out everywhere', (id: string) => accounts.update(id, { validSince: inAMinute() })],
  ] as const
  const inAMinute = () => String(Math.floor(Date.now() / 1000) + 60)

  for (const [name, end] of endings)
    test(`a user who was ${name} is refused: a new token at once, a known one within a minute`, async () => {
      const [known, unseen] = [
        await accounts.signUp(newEmail(), password),
        await accounts.signUp(newEmail(), password),
      ]
      assert.equal((await as(known.idToken).place('Rope')).status, 201)
      await end(known.localId)
      await end(unseen.localId)
      await server.database.assertUntouched(async () => {
        assertRefused(await as(unseen.idToken).place('Rope'), 401, 'token_invalid')
        await server.moveClock(60_000)
        assertRefused(await as(known.idToken).place('Rope'), 401, 'token_invalid')
      })
    })

  test('a user who is enabled again is let in again', async () => {
    const user = await accounts.signUp(newEmail(), password)
    await accounts.update(user.localId, { disableUser: true })
    assertRefused(await as(user.idToken).list(), 401, 'token_invalid')
    await accounts.update(user.localId, { disableUser: false })
    assert.equal((await as(user.idToken).list()).status, 200)
  })

  test('when Firebase cannot be asked the answer is 503, not 401', async () => {
    const { idToken } = await accounts.signUp(newEmail(), password)
    const nobody = `127.0.0.1:${await findFreePort()}`
    await using alone = await startServer({ ...settings, FIREBASE_AUTH_EMULATOR_HOST: nobody })
    const answer = await createOrdersClient(alone.url, idToken).list()
    assertRefused(answer, 503, 'keys_unavailable')
  })
})

test('with the emulator and a real project the server refuses to start', async () => {
  const project = 'my-demo-project'
  const env = { FIREBASE_PROJECT_ID: project, FIREBASE_AUTH_EMULATOR_HOST: '127.0.0.1:9099' }
  const said = await failToStart(env)
  assert.match(said, /FIREBASE_AUTH_EMULATOR_HOST: only for a project .* demo-/)
  assert.ok(!said.includes(project), 'It repeats a value.')
  const alone = await failToStart({ FIREBASE_AUTH_EMULATOR_HOST: '127.0.0.1:9099' })
  assert.match(alone, /FIREBASE_PROJECT_ID: must be set/)
})

/** The emulator's tokens have no signature: two of the same second are the same text. */
async function newerToken(than: string, next: () => Promise<string>): Promise<string> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const token = await next()
    if (token !== than) return token
    await pause(200)
  }
  throw new Error('The refreshed token stayed the same.')
}

interface App extends AsyncDisposable {
  signUp(email: string): Promise<{ user: AppUser }>
  signIn(email: string): Promise<{ user: AppUser }>
  signOut(): Promise<void>
}

interface AppUser {
  getIdToken(forceRefresh?: boolean): Promise<string>
}

/** An app with the Firebase JS SDK; `firebase/auth` is these two packages under another name. */
async function startApp(): Promise<App> {
  const { initializeApp, deleteApp } = await loadPeer<FirebaseApp>('@firebase/app')
  const sdk = await loadPeer<FirebaseAuth>('@firebase/auth')
  const app = initializeApp({ apiKey: 'any', projectId })
  const auth = sdk.initializeAuth(app, { persistence: sdk.inMemoryPersistence })
  sdk.connectAuthEmulator(auth, `http://${host}`, { disableWarnings: true })
  return {
    signUp: (email) => sdk.createUserWithEmailAndPassword(auth, email, password),
    signIn: (email) => sdk.signInWithEmailAndPassword(auth, email, password),
    signOut: () => sdk.signOut(auth),
    [Symbol.asyncDispose]: () => deleteApp(app),
  }
}

interface FirebaseApp {
  initializeApp(options: { apiKey: string; projectId: string }): object
  deleteApp(app: object): Promise<void>
}

type SignIn = (auth: object, email: string, password: string) => Promise<{ user: AppUser }>

interface FirebaseAuth {
  readonly inMemoryPersistence: object
  readonly createUserWithEmailAndPassword: SignIn
  readonly signInWithEmailAndPassword: SignIn
  initializeAuth(app: object, options: { persistence: object }): object
  connectAuthEmulator(auth: object, url: string, options: { disableWarnings: boolean }): void
  signOut(auth: object): Promise<void>
}
