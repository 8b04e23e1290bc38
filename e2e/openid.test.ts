import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { SignJWT } from 'jose'
import { type KeyServer, startKeyServer } from './support/key-server.ts'
import { type OpenidProvider, otherApi, otherClient, ourApi } from './support/openid-provider.ts'
import { phoneClient, startOpenidProvider } from './support/openid-provider.ts'
import { assertRefused, createOrdersClient, itemsOf } from './support/orders-client.ts'
import { failToStart, type ServerProcess, startServer } from './support/server-process.ts'

const algorithms = ['RS256']
const toEnvironment = (...issuers: object[]) => ({ AUTH_ISSUERS: JSON.stringify(issuers) })

describe('Any OpenID provider', () => {
  const stack = new AsyncDisposableStack()
  let provider: OpenidProvider
  let impostor: KeyServer
  let stranger: KeyServer
  let server: ServerProcess
  before(async () => {
    provider = stack.use(await startOpenidProvider())
    impostor = stack.use(await startKeyServer({}))
    impostor.publish({ issuer: provider.issuer, jwks_uri: `${provider.issuer}/jwks` })
    stranger = stack.use(await startKeyServer({}))
    server = stack.use(
      await startServer(
        toEnvironment(
          {
            issuer: provider.issuer,
            audience: ourApi,
            algorithms,
            authorizedParties: [phoneClient],
          },
          { issuer: impostor.url, audience: ourApi, algorithms },
        ),
      ),
    )
  })
  after(() => stack.disposeAsync())
  const as = (token: string) => createOrdersClient(server.url, token)

  test('code flow with PKCE: the access token works, and the next sign-in is the same user', async () => {
    const first = await provider.signIn('alice', { api: ourApi })
    assert.equal((await as(first.accessToken).place('Rope')).status, 201)
    const second = await provider.signIn('alice', { api: ourApi })
    assert.notEqual(second.accessToken, first.accessToken)
    assert.deepEqual(itemsOf(await as(second.accessToken).list()), ['Rope'])
    const other = await provider.signIn('bob', { api: ourApi })
    assert.deepEqual(itemsOf(await as(other.accessToken).list()), [])
  })

  const refusals = [
    ['an access token for another API', async () => (await sign({ api: otherApi })).accessToken],
    [
      'another client, although for our API',
      async () => (await sign({ client: otherClient, api: ourApi })).accessToken,
    ],
    ['the ID token, which is meant for the app', async () => (await sign({ api: ourApi })).idToken],
    ['an opaque access token', async () => (await sign({})).accessToken],
  ] as const
  const sign = (options: object) => provider.signIn('alice', options)
  for (const [name, obtain] of refusals)
    test(`refused, and nothing is written: ${name}`, async () => {
      await server.database.assertUntouched(async () => {
        assertRefused(await as(await obtain()).place('Rope'), 401, 'token_invalid')
      })
    })

  test('an issuer that nobody configured is refused without being asked anything', async () => {
    assertRefused(await as(await forge(stranger.url)).list(), 401, 'token_invalid')
    assert.equal(stranger.requests(), 0)
  })

  test('a discovery document that names another issuer is believed in nothing', async () => {
    assertRefused(await as(await forge(impostor.url)).list(), 503, 'keys_unavailable')
    assert.equal(impostor.requests(), 1)
  })

  test('a rotated key is picked up, and the old one no longer counts', async () => {
    const old = await provider.signIn('carol', { api: ourApi })
    await provider.rotateKey()
    await server.moveClock(30_000)
    const { accessToken } = await provider.signIn('carol', { api: ourApi })
    assert.equal((await as(accessToken).place('Buoy')).status, 201)
    assertRefused(await as(old.accessToken).list(), 401, 'token_invalid')
  })
})

test('provider down before the first token: 503 and not 401; up again: 200; down again: still 200', async () => {
  await using provider = await startOpenidProvider()
  // A team that sends ID tokens names the app's client id as the audience.
  const issuer = { issuer: provider.issuer, audience: phoneClient, algorithms }
  await using server = await startServer(toEnvironment(issuer))
  const tokens = await provider.signIn('dora', { api: ourApi })
  const list = (token: string) => createOrdersClient(server.url, token).list()
  const { idToken: later } = await provider.signIn('emil')
  await provider.stop()
  assertRefused(await list(tokens.idToken), 503, 'keys_unavailable')
  await provider.start()
  await server.moveClock(5000)
  assert.equal((await list(tokens.idToken)).status, 200)
  assertRefused(await list(tokens.accessToken), 401, 'token_invalid')
  await provider.stop()
  assert.equal((await list(later)).status, 200)
})

test('an issuer without an audience refuses to start', async () => {
  const said = await failToStart(toEnvironment({ issuer: 'https://id.example.com', algorithms }))
  assert.match(said, /AUTH_ISSUERS\[0\].*audience/)
})

function forge(issuer: string): Promise<string> {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return new SignJWT({ iss: issuer, aud: ourApi, sub: 'mallory' })
    .setProtectedHeader({ alg: 'RS256', kid: 'any' })
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(privateKey)
}
