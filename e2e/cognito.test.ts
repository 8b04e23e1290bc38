import assert from 'node:assert/strict'
import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { SignJWT } from 'jose'
import { type CognitoPool, clientId, otherClientId } from './support/cognito-pool.ts'
import { startCognitoPool, userPoolId } from './support/cognito-pool.ts'
import { assertRefused, createOrdersClient, itemsOf } from './support/orders-client.ts'
import { failToStart, type ServerProcess, startServer } from './support/server-process.ts'

type Claims = Readonly<Record<string, unknown>>

const newEmail = () => `${randomUUID()}@example.com`

describe('Cognito', () => {
  const stack = new AsyncDisposableStack()
  let pool: CognitoPool
  let server: ServerProcess
  let settings: Record<string, string>
  before(async () => {
    pool = stack.use(await startCognitoPool())
    settings = {
      AWS_REGION: 'us-east-1',
      COGNITO_USER_POOL_ID: userPoolId,
      COGNITO_ENDPOINT: pool.endpoint,
    }
    server = stack.use(await startServer({ ...settings, COGNITO_CLIENT_ID: clientId }))
  })
  after(() => stack.disposeAsync())
  const as = (token: string) => createOrdersClient(server.url, token)

  test('ID token, access token and refreshed tokens are one and the same user', async () => {
    const email = newEmail()
    await pool.signUp(email)
    const tokens = await pool.signIn(email)
    assert.equal((await as(tokens.IdToken).place('Rope', 19.99)).status, 201)
    assert.equal((await as(tokens.AccessToken).place('Buoy', 5)).status, 201)
    const renewed = await pool.refresh(tokens.RefreshToken)
    for (const token of [tokens.IdToken, tokens.AccessToken, renewed.IdToken, renewed.AccessToken])
      assert.deepEqual(itemsOf(await as(token).list()), ['Buoy', 'Rope'])
  })

  test('another user sees none of it', async () => {
    const email = newEmail()
    await pool.signUp(email)
    assert.deepEqual(itemsOf(await as((await pool.signIn(email)).IdToken).list()), [])
  })

  test("another app client's tokens are refused, although the user is of the same pool", async () => {
    const email = newEmail()
    await pool.signUp(email, otherClientId)
    await server.database.assertUntouched(async () => {
      const tokens = await pool.signIn(email, otherClientId)
      assertRefused(await as(tokens.IdToken).place('Rope'), 401, 'token_invalid')
      assertRefused(await as(tokens.AccessToken).place('Rope'), 401, 'token_invalid')
    })
  })

  test('a refresh token is no proof of anything here', async () => {
    const email = newEmail()
    await pool.signUp(email)
    const { RefreshToken } = await pool.signIn(email)
    assertRefused(await as(RefreshToken).list(), 401, 'token_invalid')
  })

  const nowS = Math.floor(Date.now() / 1000)
  const refusals: [name: string, changes: Claims, code?: string][] = [
    ['expired', { exp: nowS - 1 }, 'token_expired'],
    ['without exp', { exp: undefined }],
    ['without iat', { iat: undefined }],
    ['issued in the future', { iat: nowS + 600 }],
    ['of another pool', { iss: 'http://127.0.0.1:1/us-east-1_Other' }],
    ['without sub', { sub: undefined }],
    ['without token_use', { token_use: undefined }],
    ['of another use', { token_use: 'refresh' }],
    ['of use id with the client in the wrong place', { aud: undefined, client_id: clientId }],
    ['of use id for a list of clients', { aud: [clientId] }],
    ['of use access with the client in the wrong place', { token_use: 'access' }],
    ['of use access of another client', { token_use: 'access', client_id: otherClientId }],
  ]
  for (const [name, changes, code = 'token_invalid'] of refusals)
    test(`a token ${name} is refused, and nothing is written`, async () => {
      await server.database.assertUntouched(async () => {
        assertRefused(await as(await sign(changes)).place('Rope'), 401, code)
      })
    })

  test('a token of another key is refused; the same one of the pool is accepted', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    assertRefused(await as(await sign({}, privateKey)).list(), 401, 'token_invalid')
    assert.equal((await as(await sign({})).list()).status, 200)
  })

  function sign(changes: Claims, key = pool.privateKey): Promise<string> {
    const claims = {
      iss: `${pool.endpoint}/${userPoolId}`,
      aud: clientId,
      sub: 'signed-here',
      token_use: 'id',
      iat: nowS - 60,
      exp: nowS + 3600,
    }
    return new SignJWT({ ...claims, ...changes })
      .setProtectedHeader({ alg: 'RS256', kid: 'CognitoLocal', typ: 'JWT' })
      .sign(key)
  }

  describe('behind API Gateway', () => {
    const secret = 'a-secret-of-the-gateway-and-of-us-01'
    const nextSecret = 'the-secret-of-the-next-month-is-02!!'
    let gateway: ServerProcess
    let tokens: { IdToken: string; AccessToken: string }
    before(async () => {
      const trust = { COGNITO_TRUST_GATEWAY: 'true' }
      const env = { ...settings, ...trust, GATEWAY_SHARED_SECRET: `${secret},${nextSecret}` }
      gateway = stack.use(await startServer(env, server.database))
      const email = newEmail()
      await pool.signUp(email)
      tokens = await pool.signIn(email)
    })
    const through = (token: string, given?: string) =>
      createOrdersClient(
        gateway.url,
        token,
        given === undefined ? {} : { 'x-gateway-secret': given },
      )

    test('a token is the same user as where its signature is checked', async () => {
      assert.equal((await as(tokens.IdToken).place('Lamp')).status, 201)
      for (const token of [tokens.IdToken, tokens.AccessToken]) {
        assert.deepEqual(itemsOf(await through(token, secret).list()), ['Lamp'])
        assert.deepEqual(itemsOf(await through(token, nextSecret).list()), ['Lamp'])
      }
    })

    test('the signature is not looked at, which is why the secret matters', async () => {
      const cut = tokens.IdToken.slice(0, tokens.IdToken.lastIndexOf('.') + 9)
      assertRefused(await as(cut).list(), 401, 'token_invalid')
      assert.deepEqual(itemsOf(await through(cut, secret).list()), ['Lamp'])
      const forged = await sign(
        { aud: undefined },
        generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
      )
      assert.equal((await through(forged, secret).list()).status, 200)
    })

    test('without the right secret every request is refused, also with a token known to be good', async () => {
      assert.equal((await through(tokens.IdToken, secret).list()).status, 200)
      await server.database.assertUntouched(async () => {
        const wrong = [
          undefined,
          '',
          'wrong',
          secret.slice(0, -1),
          `${secret}x`,
          `${secret},${nextSecret}`,
        ]
        for (const given of wrong) {
          assertRefused(await through(tokens.IdToken, given).list(), 401, 'gateway_untrusted')
          assertRefused(
            await through(tokens.IdToken, given).place('Rope'),
            401,
            'gateway_untrusted',
          )
        }
      })
    })

    test('the secret alone is nobody, and claims may not contradict it', async () => {
      const none = await fetch(`${gateway.url}/auth/orders`, {
        headers: { 'x-gateway-secret': secret },
      })
      assert.equal(none.status, 401)
      assert.equal(((await none.json()) as { code: string }).code, 'unauthenticated')
      const contradictions: [Claims, string][] = [
        [{ iss: 'https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Other' }, 'token_invalid'],
        [{ token_use: 'refresh' }, 'token_invalid'],
        [{ sub: undefined }, 'token_invalid'],
        [{ exp: nowS - 600 }, 'token_expired'],
      ]
      for (const [changes, code] of contradictions)
        assertRefused(await through(await sign(changes), secret).list(), 401, code)
    })

    test('load balancers reach the health check without the secret', async () => {
      assert.equal((await fetch(`${gateway.url}/health/ready`)).status, 200)
    })

    test('the banner warns, and names no secret', () => {
      assert.match(
        gateway.output(),
        /WARNING: gateway mode\. Token signatures are NOT checked here/,
      )
      for (const each of [secret, nextSecret]) assert.ok(!gateway.output().includes(each))
    })
  })
})

test('gateway mode without a secret, or with a short one, refuses to start', async () => {
  const env = {
    AWS_REGION: 'us-east-1',
    COGNITO_USER_POOL_ID: userPoolId,
    COGNITO_CLIENT_ID: clientId,
    COGNITO_TRUST_GATEWAY: 'true',
  }
  assert.match(await failToStart(env), /GATEWAY_SHARED_SECRET: must be set/)
  const said = await failToStart({ ...env, GATEWAY_SHARED_SECRET: 'guessable' })
  assert.match(said, /GATEWAY_SHARED_SECRET: each secret must have at least 32 characters/)
  assert.ok(!said.includes('guessable'), 'It repeats the secret.')
})
