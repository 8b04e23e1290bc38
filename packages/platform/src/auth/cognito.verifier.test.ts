import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { createCognitoVerifier } from './cognito.verifier.ts'
import type { CognitoVerifierDeps } from './cognito.verifier.ts'
import { startKeyServer } from './testing/key-server.ts'
import type { KeyServer } from './testing/key-server.ts'
import {
  assembleToken,
  makeSigningKey,
  outcome,
  parse,
  signToken,
  standingClock,
} from './testing/signing.ts'
import type { SigningKey, StandingClock } from './testing/signing.ts'

const userPoolId = 'eu-central-1_AbCdEf123'
const issuer = `https://cognito-idp.eu-central-1.amazonaws.com/${userPoolId}`

describe('Cognito tokens', () => {
  let server: KeyServer
  let clock: StandingClock
  let key: SigningKey

  before(async () => {
    server = await startKeyServer()
    key = await makeSigningKey('RS256', 'pool-1')
    server.answers.set('/jwks', { body: { keys: [key.publicJwk] } })
  })
  after(() => server.close())
  beforeEach(() => {
    clock = standingClock()
    server.requests.length = 0
  })

  const common = () => ({ iss: issuer, sub: 'alice', iat: clock.nowS(), exp: clock.nowS() + 3600 })
  const id = (extra: Record<string, unknown> = {}) => ({
    ...common(),
    token_use: 'id',
    aud: 'app-1',
    'cognito:groups': ['staff'],
    ...extra,
  })
  const access = (extra: Record<string, unknown> = {}) => ({
    ...common(),
    token_use: 'access',
    client_id: 'app-1',
    scope: 'openid orders/read',
    origin_jti: 'o-1',
    ...extra,
  })
  const verifierWith = (extra: Partial<CognitoVerifierDeps> = {}) =>
    createCognitoVerifier({
      region: 'eu-central-1',
      userPoolId,
      clientIds: ['app-1', 'app-2'],
      keysUrl: `${server.url}/jwks`,
      clock,
      ...extra,
    })
  const verify = async (
    claims: unknown,
    extra: Partial<CognitoVerifierDeps> = {},
    header: Record<string, unknown> = { typ: undefined },
  ) => {
    const token = await signToken(key, claims, header)
    return verifierWith(extra).verify(token, parse(token))
  }

  test('an access token gives scopes and its session, an ID token gives groups as roles', async () => {
    const fromAccess = await verify(access())
    assert.deepEqual(fromAccess, {
      issuer,
      subject: 'alice',
      sessionId: 'o-1',
      roles: [],
      scopes: ['openid', 'orders/read'],
      assurance: 'aal1',
      claims: access(),
      via: 'bearer',
      validUntilMs: (clock.nowS() + 3600) * 1000,
    })
    const fromId = await verify(id({ aud: 'app-2' }))
    assert.deepEqual(fromId.roles, ['staff'])
    assert.equal('sessionId' in fromId, false)
  })

  const refusals: Readonly<Record<string, () => Promise<unknown>>> = {
    'an ID token of another client': () => verify(id({ aud: 'app-3' })),
    'an ID token with an aud list': () => verify(id({ aud: ['app-1'] })),
    'an ID token with only client_id': () => verify(id({ aud: undefined, client_id: 'app-1' })),
    'an access token of another client': () => verify(access({ client_id: 'app-3' })),
    'an access token with only aud': () => verify(access({ client_id: undefined, aud: 'app-1' })),
    'a token without token_use': () => verify(id({ token_use: undefined, client_id: 'app-1' })),
    'a refresh token': () => verify(id({ token_use: 'refresh', client_id: 'app-1' })),
    'an access token where ID is asked': () => verify(access({ aud: 'app-1' }), { tokenUse: 'id' }),
    'an ID token where access is asked': () =>
      verify(id({ client_id: 'app-1' }), { tokenUse: 'access' }),
    'a token of another pool': () => verify(id({ iss: `${issuer}x` })),
    'a token without iss': () => verify(id({ iss: undefined })),
    'a token without exp': () => verify(access({ exp: undefined })),
    'a token without iat': () => verify(access({ iat: undefined })),
    'a token with iat far ahead': () => verify(access({ iat: clock.nowS() + 61 })),
    'a token with nbf far ahead': () => verify(access({ nbf: clock.nowS() + 61 })),
    'a token without sub': () => verify(access({ sub: undefined })),
    'a token with typ at+jwt': () => verify(access(), {}, { typ: 'at+jwt' }),
    'a token without kid': () => verify(access(), {}, { kid: undefined }),
    'a token with an unknown kid': () => verify(access(), {}, { kid: 'pool-2' }),
    'a token with a wrong signature': async () => {
      const token = assembleToken({ alg: 'RS256', kid: 'pool-1' }, access(), 'A'.repeat(342))
      return verifierWith().verify(token, parse(token))
    },
    'an unsigned token': async () => {
      const token = assembleToken({ alg: 'none', kid: 'pool-1' }, access(), '')
      return verifierWith().verify(token, parse(token, { allowEmptySignature: true }))
    },
  }
  for (const [what, attempt] of Object.entries(refusals)) {
    test(`${what} is refused`, async () => {
      assert.equal(await outcome(attempt()), 'token_invalid')
    })
  }

  test('an expired token is called expired', async () => {
    assert.equal(await outcome(verify(access({ exp: clock.nowS() }))), 'token_expired')
  })

  test('unreachable keys are 503', async () => {
    const elsewhere = { keysUrl: `${server.url}/nothing` }
    assert.equal(await outcome(verify(access(), elsewhere)), 'keys_unavailable')
  })

  test('the keys are those of the pool unless another address is given', async () => {
    const asked: string[] = []
    const verifier = createCognitoVerifier({
      region: 'eu-central-1',
      userPoolId,
      clientIds: ['app-1'],
      clock,
      fetch: async (url) => {
        asked.push(url)
        return Response.json({ keys: [key.publicJwk] })
      },
    })
    const token = await signToken(key, access())
    await verifier.verify(token, parse(token))
    assert.deepEqual(asked, [`${issuer}/.well-known/jwks.json`])
  })

  test('half a configuration is refused at creation', () => {
    for (const bad of ['', 'pool', 'eu-central-1', 'eu-central-1_a/b', 'EU-central-1_a']) {
      assert.throws(() => verifierWith({ userPoolId: bad }), /user pool id/)
    }
    assert.throws(() => verifierWith({ region: 'us-east-1' }), /another region/)
    assert.throws(() => verifierWith({ clientIds: [] }), /client id/)
    assert.throws(() => verifierWith({ clientIds: ['app-1', ''] }), /client id/)
    assert.throws(() => verifierWith({ keysUrl: 'http://keys.test' }), /https/)
  })
})
