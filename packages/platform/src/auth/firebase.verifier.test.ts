import assert from 'node:assert/strict'
import { createHmac, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { after, before, beforeEach, describe, test } from 'node:test'
import { decodeJwt } from 'jose'
import { createFirebaseVerifier } from './firebase.verifier.ts'
import type { FirebaseVerifierDeps } from './firebase.verifier.ts'
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

const projectId = 'shop-1'
const issuer = `https://securetoken.google.com/${projectId}`
const hour = 3600

let server: KeyServer
let clock: StandingClock
let key: SigningKey
let other: SigningKey

before(async () => {
  server = await startKeyServer()
  key = await makeSigningKey('RS256', 'google-1')
  other = await makeSigningKey('RS256', 'google-1')
})
after(() => server.close())
beforeEach(() => {
  clock = standingClock()
  server.requests.length = 0
  server.answers.clear()
  server.answers.set('/keys', { body: { keys: [key.publicJwk] } })
})

const claimsOf = (extra: Record<string, unknown> = {}) => ({
  iss: issuer,
  aud: projectId,
  sub: 'alice',
  user_id: 'alice',
  iat: clock.nowS() - 10,
  auth_time: clock.nowS() - 10,
  exp: clock.nowS() + hour,
  firebase: { sign_in_provider: 'password', identities: {} },
  ...extra,
})
const verifierWith = (extra: Partial<FirebaseVerifierDeps> = {}) =>
  createFirebaseVerifier({ projectId, keysUrl: `${server.url}/keys`, clock, ...extra })
const verify = (token: string, verifier = verifierWith()) => verifier.verify(token, parse(token))

describe('Firebase ID tokens', () => {
  test('a good token gives subject, claims and its own end', async () => {
    const token = await signToken(key, claimsOf({ nbf: clock.nowS() }))
    assert.deepEqual(await verify(token), {
      issuer,
      subject: 'alice',
      roles: [],
      scopes: [],
      assurance: 'aal1',
      claims: decodeJwt(token),
      via: 'bearer',
      validUntilMs: (clock.nowS() + hour) * 1000,
    })
  })

  test('custom claims give roles, and a second factor gives aal2', async () => {
    const roles = await signToken(key, claimsOf({ roles: ['admin', 7, 'staff'] }))
    assert.deepEqual((await verify(roles)).roles, ['admin', 'staff'])
    const role = await signToken(key, claimsOf({ role: 'admin' }))
    assert.deepEqual((await verify(role)).roles, ['admin'])
    const firebase = { sign_in_provider: 'password', sign_in_second_factor: 'totp' }
    assert.equal((await verify(await signToken(key, claimsOf({ firebase })))).assurance, 'aal2')
  })

  test('the clocks may differ by 60 s for iat, auth_time and nbf', async () => {
    const ahead = clock.nowS() + 60
    const token = await signToken(key, claimsOf({ iat: ahead, auth_time: ahead, nbf: ahead }))
    assert.equal(await outcome(verify(token)), 'accepted')
  })

  const wrongClaims: Readonly<Record<string, () => Record<string, unknown>>> = {
    'of another project': () => ({ aud: 'shop-2', iss: 'https://securetoken.google.com/shop-2' }),
    'with another aud': () => ({ aud: 'shop-2' }),
    'with an aud list that holds the project': () => ({ aud: [projectId] }),
    'without aud': () => ({ aud: undefined }),
    'with another iss': () => ({ iss: 'https://securetoken.google.com/shop-2' }),
    'with a trailing slash in iss': () => ({ iss: `${issuer}/` }),
    'that is a session cookie': () => ({ iss: `https://session.firebase.google.com/${projectId}` }),
    'that is a custom token': () => ({
      iss: 'sa@shop-1.iam.gserviceaccount.com',
      aud: 'https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit',
    }),
    'without sub': () => ({ sub: undefined }),
    'with an empty sub': () => ({ sub: '' }),
    'with a numeric sub': () => ({ sub: 7 }),
    'with a sub of 129 characters': () => ({ sub: 'a'.repeat(129) }),
    'with a NUL in sub': () => ({ sub: 'ali\0ce' }),
    'with a lone surrogate in sub': () => ({ sub: 'ali\uD800ce' }),
    'without exp': () => ({ exp: undefined }),
    'with a text as exp': () => ({ exp: String(clock.nowS() + hour) }),
    'with null as exp': () => ({ exp: null }),
    'without iat': () => ({ iat: undefined }),
    'with iat 61 s ahead': () => ({ iat: clock.nowS() + 61 }),
    'without auth_time': () => ({ auth_time: undefined }),
    'with auth_time 61 s ahead': () => ({ auth_time: clock.nowS() + 61 }),
    'with a text as auth_time': () => ({ auth_time: '0' }),
    'with nbf 61 s ahead': () => ({ nbf: clock.nowS() + 61 }),
    'with a text as nbf': () => ({ nbf: 'now' }),
  }
  for (const [what, extra] of Object.entries(wrongClaims)) {
    test(`a token ${what} is refused`, async () => {
      assert.equal(await outcome(verify(await signToken(key, claimsOf(extra())))), 'token_invalid')
    })
  }

  test('a token ends at exp, to the second, and is then called expired', async () => {
    const token = await signToken(key, claimsOf({ exp: clock.nowS() + 1 }))
    assert.equal(await outcome(verify(token)), 'accepted')
    clock.advanceS(1)
    assert.equal(await outcome(verify(token)), 'token_expired')
  })

  test('a forged token is called invalid, also when its exp has passed', async () => {
    const token = await signToken(other, claimsOf({ exp: clock.nowS() - 1 }))
    assert.equal(await outcome(verify(token)), 'token_invalid')
  })

  const wrongHeaders: Readonly<Record<string, Record<string, unknown>>> = {
    'without kid': { kid: undefined },
    'with an unknown kid': { kid: 'google-2' },
    'with the kid __proto__': { kid: '__proto__' },
    'with typ at+jwt': { typ: 'at+jwt' },
    'with typ secevent+jwt': { typ: 'secevent+jwt' },
  }
  for (const [what, header] of Object.entries(wrongHeaders)) {
    test(`a token ${what} is refused`, async () => {
      const token = await signToken(key, claimsOf(), header)
      assert.equal(await outcome(verify(token)), 'token_invalid')
    })
  }

  test('a token signed by another key under a known kid is refused', async () => {
    assert.equal(await outcome(verify(await signToken(other, claimsOf()))), 'token_invalid')
  })

  for (const alg of ['RS384', 'PS256', 'ES256', 'EdDSA']) {
    test(`a token signed with ${alg} is refused, though its key is published`, async () => {
      const signer = await makeSigningKey(alg, 'google-2')
      server.answers.set('/keys', { body: { keys: [key.publicJwk, signer.publicJwk] } })
      assert.equal(await outcome(verify(await signToken(signer, claimsOf()))), 'token_invalid')
    })
  }

  for (const alg of ['none', 'None', 'NONE', 'noNE']) {
    test(`a token with alg ${alg} is refused`, async () => {
      const header = { alg, kid: 'google-1', typ: 'JWT' }
      const unsigned = assembleToken(header, claimsOf(), '')
      const parsed = parse(unsigned, { allowEmptySignature: true })
      assert.equal(await outcome(verifierWith().verify(unsigned, parsed)), 'token_invalid')
      const signed = assembleToken(header, claimsOf(), 'AAAA')
      assert.equal(await outcome(verify(signed)), 'token_invalid')
    })
  }

  test('the public key in any dress is no HMAC secret', async () => {
    const publicKey = createPublicKey({ key: { ...key.publicJwk }, format: 'jwk' })
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
    const secrets: readonly (string | Buffer)[] = [
      pem,
      ` ${pem}`,
      `\n${pem}`,
      pem.trim(),
      pem.replaceAll('\n', '\r\n'),
      publicKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
      publicKey.export({ type: 'spki', format: 'der' }),
      publicKey.export({ type: 'pkcs1', format: 'der' }),
      JSON.stringify(key.publicJwk),
      Buffer.from(key.publicJwk.n ?? '', 'base64url'),
    ]
    for (const secret of secrets) {
      for (const [alg, hash] of [
        ['HS256', 'sha256'],
        ['RS256', 'sha256'],
        ['HS512', 'sha512'],
      ] as const) {
        const signed = assembleToken({ alg, kid: 'google-1', typ: 'JWT' }, claimsOf(), '')
        const mac = createHmac(hash, secret).update(signed.slice(0, -1)).digest('base64url')
        assert.equal(await outcome(verify(`${signed}${mac}`)), 'token_invalid')
      }
    }
  })

  test('keys and addresses in the header are not followed', async () => {
    const attacker = await makeSigningKey('RS256', 'google-1')
    server.answers.set('/evil', { body: { keys: [attacker.publicJwk] } })
    const evil = `${server.url}/evil`
    for (const header of [
      { jku: evil },
      { x5u: evil },
      { jwk: attacker.publicJwk },
      { x5c: [evil] },
    ]) {
      const token = await signToken(attacker, claimsOf(), header)
      assert.equal(await outcome(verify(token)), 'token_invalid')
    }
    assert.deepEqual(new Set(server.requests.map((request) => request.path)), new Set(['/keys']))
  })

  test('unreachable keys are 503, not 401', async () => {
    server.answers.set('/keys', { status: 502 })
    const token = await signToken(key, claimsOf())
    assert.equal(await outcome(verify(token)), 'keys_unavailable')
  })

  test('half a configuration is refused at creation', () => {
    for (const bad of ['', 'Shop', '../x', 'a/b', ' ']) {
      assert.throws(() => verifierWith({ projectId: bad }), /project id/)
    }
    assert.throws(() => verifierWith({ keysUrl: 'http://keys.test/x' }), /https/)
    assert.throws(() => verifierWith({ checkRevoked: true }), /service account/)
  })
})

describe('tokens of the Firebase Auth emulator', () => {
  const demo = { projectId: 'demo-shop', emulatorHost: '127.0.0.1:9099' }
  const demoClaims = (extra: Record<string, unknown> = {}) =>
    claimsOf({ iss: 'https://securetoken.google.com/demo-shop', aud: 'demo-shop', ...extra })
  const verifyDemo = (token: string) =>
    verifierWith(demo).verify(token, parse(token, { allowEmptySignature: true }))
  const unsigned = (claims: unknown, header: unknown = { alg: 'none', typ: 'JWT' }) =>
    assembleToken(header, claims, '')

  test('are accepted unsigned, without any request', async () => {
    assert.equal((await verifyDemo(unsigned(demoClaims()))).subject, 'alice')
    assert.equal(verifierWith(demo).acceptsUnsigned, true)
    assert.equal(verifierWith().acceptsUnsigned, false)
    assert.equal(server.count(), 0)
  })

  test('are held to the same rules', async () => {
    for (const extra of [
      { aud: 'demo-other' },
      { iss: issuer },
      { exp: undefined },
      { auth_time: undefined },
      { iat: clock.nowS() + 61 },
      { sub: '' },
    ]) {
      assert.equal(await outcome(verifyDemo(unsigned(demoClaims(extra)))), 'token_invalid')
    }
    assert.equal(
      await outcome(verifyDemo(unsigned(demoClaims({ exp: clock.nowS() })))),
      'token_expired',
    )
  })

  test('must say none exactly and have no signature', async () => {
    for (const alg of ['None', 'noNE', 'NONE', 'RS256', 'HS256']) {
      assert.equal(await outcome(verifyDemo(unsigned(demoClaims(), { alg }))), 'token_invalid')
    }
    const signed = assembleToken({ alg: 'none', typ: 'JWT' }, demoClaims(), 'AAAA')
    assert.equal(await outcome(verifyDemo(signed)), 'token_invalid')
    assert.equal(await outcome(verifyDemo(await signToken(key, demoClaims()))), 'token_invalid')
  })

  test('a real project cannot be configured with the emulator', () => {
    assert.throws(() => verifierWith({ emulatorHost: '127.0.0.1:9099' }), /demo-/)
    assert.throws(() => verifierWith({ ...demo, projectId: 'shop-demo-1' }), /demo-/)
    for (const emulatorHost of ['', 'localhost', 'http://localhost:9099', 'a:1/x', 'a@b:1']) {
      assert.throws(() => verifierWith({ ...demo, emulatorHost }), /host:port/)
    }
    assert.ok(verifierWith({ ...demo, emulatorHost: '[::1]:9099' }))
  })
})

describe('checking Firebase tokens for revocation', () => {
  const lookup = '/v1/projects/shop-1/accounts:lookup'
  const serviceAccount = () => ({
    client_email: 'sa@shop-1.iam.gserviceaccount.com',
    private_key: serviceKey,
    token_uri: `${server.url}/token`,
  })
  const serviceKey = generateKeyPairSync('rsa', { modulusLength: 2048 })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString()

  beforeEach(() => {
    server.answers.set('/token', { body: { access_token: 'at-1', expires_in: 3600 } })
    answer({ users: [{ localId: 'alice', validSince: String(clock.nowS() - 1000) }] })
  })
  const answer = (body: unknown, status = 200) => server.answers.set(lookup, { body, status })
  /** Google's own host, answered by the local server. */
  const google = 'https://identitytoolkit.googleapis.com'
  const verifier = () =>
    verifierWith({
      checkRevoked: true,
      serviceAccount: serviceAccount(),
      fetch: (url, init) => fetch(url.replace(google, server.url), init),
    })
  const check = async (extra = {}) =>
    outcome(verify(await signToken(key, claimsOf(extra)), verifier()))

  test('asks with an access token of the service account, fetched once', async () => {
    const used = verifier()
    for (let i = 0; i < 3; i += 1) await verify(await signToken(key, claimsOf()), used)
    assert.equal(server.count('/token'), 1)
    assert.equal(server.count(lookup), 3)
    const grant = new URLSearchParams(server.requests.find((r) => r.path === '/token')?.body)
    assert.equal(grant.get('grant_type'), 'urn:ietf:params:oauth:grant-type:jwt-bearer')
    const assertion = decodeJwt(grant.get('assertion') ?? '')
    assert.equal(assertion.iss, 'sa@shop-1.iam.gserviceaccount.com')
    assert.equal(assertion.aud, `${server.url}/token`)
    assert.equal(assertion.exp, clock.nowS() + 3600)
    const asked = server.requests.find((r) => r.path === lookup)
    assert.equal(asked?.headers.authorization, 'Bearer at-1')
    assert.deepEqual(JSON.parse(asked?.body ?? ''), { localId: ['alice'] })
  })

  test('an access token near its end is fetched anew', async () => {
    const used = verifier()
    await verify(await signToken(key, claimsOf()), used)
    clock.advanceS(3541)
    answer({ users: [{ localId: 'alice' }] })
    await verify(await signToken(key, claimsOf()), used)
    assert.equal(server.count('/token'), 2)
  })

  test('the answer counts for 60 s at most', async () => {
    const verified = await verify(await signToken(key, claimsOf()), verifier())
    assert.equal(verified.validUntilMs, (clock.nowS() + 60) * 1000)
    const short = await verify(
      await signToken(key, claimsOf({ exp: clock.nowS() + 5 })),
      verifier(),
    )
    assert.equal(short.validUntilMs, (clock.nowS() + 5) * 1000)
  })

  test('disabled, deleted and signed-out users are refused', async () => {
    for (const body of [
      { users: [{ localId: 'alice', disabled: true }] },
      { users: [] },
      {},
      { users: [{ localId: 'bob' }] },
      { users: [{ localId: 'alice', validSince: String(clock.nowS() - 9) }] },
    ]) {
      answer(body)
      assert.equal(await check(), 'token_invalid', JSON.stringify(body))
    }
  })

  test('auth_time decides, not iat: a refreshed token does not survive the revocation', async () => {
    answer({ users: [{ localId: 'alice', validSince: String(clock.nowS() - 100) }] })
    assert.equal(await check({ auth_time: clock.nowS() - 101 }), 'token_invalid')
    assert.equal(await check({ auth_time: clock.nowS() - 100 }), 'accepted')
  })

  test('a question that cannot be answered is 503', async () => {
    for (const [body, status] of [
      [{}, 500],
      [{}, 401],
      ['no JSON', 200],
      [[], 200],
      [{ users: 'alice' }, 200],
      [{ users: [{ localId: 'alice', validSince: 'yesterday' }] }, 200],
    ] as const) {
      answer(body, status)
      assert.equal(await check(), 'keys_unavailable', JSON.stringify(body))
    }
    server.answers.set('/token', { status: 400, body: { error: 'invalid_grant' } })
    assert.equal(await check(), 'keys_unavailable')
  })

  test('a refused access token is not used again', async () => {
    const used = verifier()
    answer({}, 401)
    assert.equal(await outcome(verify(await signToken(key, claimsOf()), used)), 'keys_unavailable')
    answer({ users: [{ localId: 'alice' }] })
    assert.equal(await outcome(verify(await signToken(key, claimsOf()), used)), 'accepted')
    assert.equal(server.count('/token'), 2)
  })

  test('the emulator is asked as its owner', async () => {
    const path = '/identitytoolkit.googleapis.com/v1/projects/demo-shop/accounts:lookup'
    server.answers.set(path, { body: { users: [{ localId: 'alice', disabled: true }] } })
    const emulator = verifierWith({
      projectId: 'demo-shop',
      emulatorHost: server.host,
      checkRevoked: true,
    })
    const token = assembleToken(
      { alg: 'none', typ: 'JWT' },
      claimsOf({ iss: 'https://securetoken.google.com/demo-shop', aud: 'demo-shop' }),
      '',
    )
    const parsed = parse(token, { allowEmptySignature: true })
    assert.equal(await outcome(emulator.verify(token, parsed)), 'token_invalid')
    assert.equal(server.requests[0]?.headers.authorization, 'Bearer owner')
  })

  test('a service account that cannot work is refused at creation, without showing its key', () => {
    const ecKey = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      .privateKey.export({ type: 'pkcs8', format: 'pem' })
      .toString()
    for (const bad of [
      { ...serviceAccount(), private_key: 'very secret' },
      { ...serviceAccount(), private_key: ecKey },
      { ...serviceAccount(), client_email: '' },
      { ...serviceAccount(), token_uri: 'http://oauth2.test/token' },
    ]) {
      assert.throws(
        () => verifierWith({ checkRevoked: true, serviceAccount: bad }),
        (error: Error) =>
          error.message.startsWith('Firebase:') && !error.message.includes('secret'),
      )
    }
  })
})
