import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { after, before, beforeEach, describe, test } from 'node:test'
import type { CryptoKey } from 'jose'
import { AppError } from '../errors.ts'
import type { JwsHeader } from './compact-jwt.ts'
import type { Fetch } from './fetch-json.ts'
import { createKeyStore, createStaticKeyStore } from './key-store.ts'
import { startKeyServer } from './testing/key-server.ts'
import type { KeyServer } from './testing/key-server.ts'
import { makeSigningKey, outcome, standingClock } from './testing/signing.ts'
import type { SigningKey, StandingClock } from './testing/signing.ts'
import { importVerificationKey } from './verification-key.ts'

const ask = (kid: string | undefined, alg = 'ES256'): JwsHeader => ({ alg, kid, typ: undefined })

describe('the key store', () => {
  let server: KeyServer
  let clock: StandingClock
  let first: SigningKey
  let second: SigningKey

  before(async () => {
    server = await startKeyServer()
    first = await makeSigningKey('ES256', 'first')
    second = await makeSigningKey('ES256', 'second')
  })
  after(() => server.close())
  beforeEach(() => {
    clock = standingClock()
    server.requests.length = 0
    server.answers.clear()
    publish([first])
  })

  function publish(keys: readonly SigningKey[], headers: Record<string, string> = {}) {
    server.answers.set('/jwks', { headers, body: { keys: keys.map((key) => key.publicJwk) } })
  }
  const breakServer = () => server.answers.set('/jwks', { status: 500 })
  const makeStore = (fetch?: Fetch) =>
    createKeyStore({
      url: `${server.url}/jwks`,
      algorithms: ['ES256', 'RS256'],
      clock,
      ...(fetch === undefined ? {} : { fetch }),
    })

  test('fetches when first used, then answers from memory', async () => {
    const store = makeStore()
    assert.equal(server.count(), 0)
    assert.equal((await store.find(ask('first')))?.alg, 'ES256')
    await store.find(ask('first'))
    assert.equal(server.count('/jwks'), 1)
  })

  test('a hundred first uses at once make one request', async () => {
    const store = makeStore()
    await Promise.all(Array.from({ length: 100 }, () => store.find(ask('first'))))
    assert.equal(server.count(), 1)
  })

  const lives: readonly (readonly [headers: Record<string, string>, lifeS: number])[] = [
    [{}, 600],
    [{ 'cache-control': 'public, max-age=3600, must-revalidate' }, 3600],
    [{ 'cache-control': 'max-age="120"' }, 120],
    [{ 'cache-control': 's-maxage=5, max-age=180' }, 180],
    [{ 'cache-control': 'max-age=0' }, 60],
    [{ 'cache-control': 'max-age=99999999' }, 86_400],
    [{ 'cache-control': 'max-age=1000', age: '400' }, 600],
    [{ 'cache-control': 'max-age=nonsense' }, 600],
  ]
  for (const [headers, lifeS] of lives) {
    test(`${JSON.stringify(headers)}: a key taken back is refused after ${lifeS} s, not before`, async () => {
      publish([first, second], headers)
      const store = makeStore()
      await store.find(ask('first'))
      publish([second], headers)
      clock.advanceS(lifeS * 0.79)
      assert.ok(await store.find(ask('first')))
      assert.equal(server.count(), 1)
      clock.advanceS(lifeS * 0.21 + 0.001)
      assert.equal(await store.find(ask('first')), undefined)
      assert.equal(server.count(), 2)
    })
  }

  test('near their end keys are renewed beside the request that uses them', async () => {
    const headers = { 'cache-control': 'max-age=1000' }
    const waiting: ((response: Response) => void)[] = []
    const store = makeStore(() => new Promise((resolve) => waiting.push(resolve)))
    const answerWith = (...keys: SigningKey[]) =>
      waiting.pop()?.(Response.json({ keys: keys.map((key) => key.publicJwk) }, { headers }))

    const started = store.find(ask('first'))
    answerWith(first)
    assert.ok(await started)
    clock.advanceS(799)
    assert.ok(await store.find(ask('first')))
    assert.equal(waiting.length, 0)
    clock.advanceS(2)
    // The server has not answered yet, and this use does not wait for it.
    assert.ok(await store.find(ask('first')))
    assert.equal(waiting.length, 1)
    const usesNew = store.find(ask('second'))
    answerWith(first, second)
    assert.ok(await usesNew)
  })

  test('keys that cannot be renewed stay in force, and the server is asked once in 30 s', async () => {
    const store = makeStore()
    await store.find(ask('first'))
    breakServer()
    clock.advanceS(601)
    for (let i = 0; i < 5; i += 1) assert.ok(await store.find(ask('first')))
    assert.equal(server.count(), 2)
    clock.advanceS(31)
    assert.ok(await store.find(ask('first')))
    assert.equal(server.count(), 3)
  })

  test('an answer without a usable key does not replace the old keys', async () => {
    const store = makeStore()
    await store.find(ask('first'))
    for (const body of [{ keys: [] }, {}, [], 'no JSON', { keys: 'first' }, { first: 'no PEM' }]) {
      server.answers.set('/jwks', { body })
      clock.advanceS(86_401)
      assert.ok(await store.find(ask('first')), JSON.stringify(body))
    }
  })

  test('an unknown kid asks again, at most once in 30 s, however many come', async () => {
    const store = makeStore()
    await store.find(ask('first'))
    clock.advanceS(31)
    await Promise.all(Array.from({ length: 200 }, (_, i) => store.find(ask(`made-up-${i}`))))
    for (let i = 0; i < 200; i += 1) await store.find(ask(`other-${i}`))
    assert.equal(server.count(), 2)
    clock.advanceS(29)
    await store.find(ask('third'))
    assert.equal(server.count(), 2)
  })

  test('a key that was rotated in is found by its unknown kid', async () => {
    const store = makeStore()
    await store.find(ask('first'))
    publish([first, second])
    clock.advanceS(31)
    assert.ok(await store.find(ask('second')))
    assert.equal(server.count(), 2)
  })

  test('no keys at all is 503 with Retry-After, never 401, and is tried again after 5 s', async () => {
    breakServer()
    const store = makeStore()
    await assert.rejects(store.find(ask('first')), (error) => {
      assert.ok(error instanceof AppError)
      assert.equal(error.code, 'keys_unavailable')
      assert.equal(error.status, 503)
      assert.equal(error.headers['Retry-After'], '5')
      assert.ok(error.cause instanceof Error)
      return true
    })
    assert.equal(await outcome(store.find(ask('first'))), 'keys_unavailable')
    assert.equal(server.count(), 1)
    publish([first])
    clock.advanceS(5)
    assert.ok(await store.find(ask('first')))
  })

  test('an unknown kid while the server is down is 503: the key may be a new one', async () => {
    const store = makeStore()
    await store.find(ask('first'))
    breakServer()
    clock.advanceS(31)
    assert.equal(await outcome(store.find(ask('second'))), 'keys_unavailable')
    assert.ok(await store.find(ask('first')))
  })

  test('a server that is not there is 503', async () => {
    const gone = await startKeyServer()
    await gone.close()
    const store = createKeyStore({ url: `${gone.url}/jwks`, algorithms: ['ES256'], clock })
    assert.equal(await outcome(store.find(ask('first'))), 'keys_unavailable')
  })

  test('a server that never answers is given up after 5 s', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const silent: Fetch = (_url, { signal }) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason))
      })
    const result = outcome(makeStore(silent).find(ask('first')))
    await Promise.resolve()
    t.mock.timers.tick(5000)
    assert.equal(await result, 'keys_unavailable')
  })

  test('redirects are not followed', async () => {
    server.answers.set('/jwks', { status: 302, headers: { location: `${server.url}/elsewhere` } })
    server.answers.set('/elsewhere', { body: { keys: [first.publicJwk] } })
    assert.equal(await outcome(makeStore().find(ask('first'))), 'keys_unavailable')
    assert.equal(server.count('/elsewhere'), 0)
  })

  test('an answer of more than 512 KiB is refused', async () => {
    server.answers.set('/jwks', {
      body: { keys: [first.publicJwk], filling: 'x'.repeat(600 * 1024) },
    })
    assert.equal(await outcome(makeStore().find(ask('first'))), 'keys_unavailable')
  })

  for (const kid of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'keys', '']) {
    test(`the kid ${JSON.stringify(kid)} is like any other unknown one`, async () => {
      assert.equal(await makeStore().find(ask(kid)), undefined)
    })
  }

  for (const alg of ['none', 'noNE', 'HS256', 'HS512', 'RS1', 'ES384', 'PS256', '', '__proto__']) {
    test(`the algorithm ${JSON.stringify(alg)} is refused without asking the server`, async () => {
      assert.equal(await makeStore().find(ask('first', alg)), undefined)
      assert.equal(server.count(), 0)
    })
  }

  test('a known kid with another allowed algorithm is refused, and asks nobody again', async () => {
    const store = makeStore()
    await store.find(ask('first'))
    clock.advanceS(31)
    assert.equal(await store.find(ask('first', 'RS256')), undefined)
    assert.equal(server.count(), 1)
  })

  test('without a kid the only key that fits is used, and of two none', async () => {
    assert.ok(await makeStore().find(ask(undefined)))
    publish([first, second])
    assert.equal(await makeStore().find(ask(undefined)), undefined)
  })

  test('Google’s map of kid to certificate is told by its shape', async () => {
    server.answers.set('/jwks', { body: { google: certificate, broken: 'not a certificate' } })
    const store = makeStore()
    const key = await store.find(ask('google', 'RS256'))
    assert.equal(key?.alg, 'RS256')
    assert.equal(await store.find(ask('broken', 'RS256')), undefined)
    assert.equal(await store.find(ask('__proto__', 'RS256')), undefined)
  })

  test('a static secret answers for HS256 only', async () => {
    const store = createStaticKeyStore({ secret: 's'.repeat(32) })
    assert.equal((await store.find(ask(undefined, 'HS256')))?.alg, 'HS256')
    for (const alg of ['none', 'HS512', 'RS256']) {
      assert.equal(await store.find(ask(undefined, alg)), undefined)
    }
  })
})

describe('importing a published key', () => {
  const rsa = (bits: number, extra: Record<string, unknown> = {}) => ({
    ...generateKeyPairSync('rsa', { modulusLength: bits }).publicKey.export({ format: 'jwk' }),
    ...extra,
  })
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const ecPublic = ec.publicKey.export({ format: 'jwk' })
  const strong = rsa(2048)
  const algorithms = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'] as const

  test('keys that may sign tokens are taken, each with one algorithm', async () => {
    const accepted: readonly (readonly [jwk: unknown, alg: string])[] = [
      [strong, 'RS256'],
      [{ ...strong, alg: 'PS256' }, 'PS256'],
      [{ ...strong, use: 'sig', key_ops: ['verify'] }, 'RS256'],
      [ecPublic, 'ES256'],
      [generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }), 'EdDSA'],
    ]
    for (const [jwk, alg] of accepted) {
      assert.equal((await importVerificationKey(jwk, algorithms))?.alg, alg)
    }
  })

  const refused: Readonly<Record<string, unknown>> = {
    'no object': 'key',
    null: null,
    'a symmetric key': { kty: 'oct', k: 'AAAA', alg: 'HS256' },
    'a symmetric key dressed as RSA': { ...strong, k: 'AAAA' },
    'a private EC key': ec.privateKey.export({ format: 'jwk' }),
    'an encryption key': { ...strong, use: 'enc' },
    'a key for other operations': { ...strong, key_ops: ['encrypt'] },
    'key_ops that is no list': { ...strong, key_ops: 'verify' },
    'RSA with 1024 bits': rsa(1024),
    'RSA with the exponent 1': { ...strong, e: 'AQ' },
    'RSA with an even exponent': { ...strong, e: 'AQAA' },
    'RSA without an exponent': { ...strong, e: undefined },
    'RSA-OAEP': { ...strong, alg: 'RSA-OAEP' },
    'an algorithm that is not configured': { ...strong, alg: 'RS512' },
    'an algorithm of another key type': { ...strong, alg: 'ES256' },
    'an algorithm of another curve': { ...ecPublic, alg: 'ES384' },
    'a curve that is not what it says': { ...ecPublic, crv: 'P-384' },
    'a point that is not on the curve': { ...ecPublic, y: ecPublic.x },
    secp256k1: generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey.export({
      format: 'jwk',
    }),
    X25519: generateKeyPairSync('x25519').publicKey.export({ format: 'jwk' }),
    'a key type that is inherited': JSON.parse('{"__proto__":{"kty":"RSA"}}'),
  }
  for (const [what, jwk] of Object.entries(refused)) {
    test(`${what} is ignored`, async () => {
      assert.equal(await importVerificationKey(jwk, algorithms), undefined)
    })
  }

  test('the imported key is public and cannot sign', async () => {
    const imported = await importVerificationKey(strong, algorithms)
    const key = imported?.key as CryptoKey
    assert.equal(key.type, 'public')
    assert.deepEqual([...key.usages], ['verify'])
  })
})

/** A self-signed certificate made for this test; its private key was thrown away. */
const certificate = `-----BEGIN CERTIFICATE-----
MIIDGTCCAgGgAwIBAgIUAMBUs6+Tgb3rhDGTcm9IfWmqEwcwDQYJKoZIhvcNAQEL
BQAwGzEZMBcGA1UEAwwQc2VjdXJldG9rZW4udGVzdDAgFw0yNjExMjEwMjMxMTZa
GA8yMTI2MTAyODAyMzExNlowGzEZMBcGA1UEAwwQc2VjdXJldG9rZW4udGVzdDCC
ASIwDQYJKoZIhvcNAQEBBQADggEPADCCAQoCggEBAIWVR7pxeqccOxz9dVb8co+e
kY+FshuWISvA8efGajzIHmmqz++D5WA3dwkIHCIJ7nM6RMokDSuPF2ZCyCL6Npmo
PppKrEcGQ5QX+od+mrqpssHU7YgZxSOga6VFP8fvx7VclYcjjhdcWmmX4XvYagPm
mUTU6jbzeOE3FtARZXM+sQ212kpUTwRGJpZovyZB2gwAfXVlF1X7IjkuSrEJz6IL
J4E8z+bWTiemqeFFiBA5ghit7Dv6Av+7VRo5aJVG8uUG8JLHkjY55U54ZZttIXYA
dnRaWsWHO8a+lseo/pDgBahRy4No6Rpvui+rMd8CsRvwNH3MpvhQNjACFpWpsmcC
AwEAAaNTMFEwHQYDVR0OBBYEFB+oCT/pzQaNesGg4/va2fnEHWzwMB8GA1UdIwQY
MBaAFB+oCT/pzQaNesGg4/va2fnEHWzwMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZI
hvcNAQELBQADggEBACqIPzBZZKRb3Jm27TWfQ17HqZfaiiTEjnk3wU7WNmC5RirN
zbNuyuT1LCVw9+/pVxQB0+7czsgsvki9Tkar7iA9LcfHIbDzV3G1yQFUagwMxdp/
Latz/g4pmGR8e6GjFEq9Ds2GMRwtVorFbdAz9QgbY/KQH63uCxfI5HKYk/VszHGa
j00dLVMiDu2vOUdKbrwrHEwynqhwNCfQSSlL49+/jAMu5ZnmQ9BauvjlI9ZNxe83
/rl2w5OLgRQIO4Tm5DklFoUxcfpHcJfuLbJNyQGbwM1yP6/JsAMwewmNUpHMmAGZ
rZ1L5EzaKsnapNJF8Kdd5cfHEA9HwJmrkAf+rPY=
-----END CERTIFICATE-----
`
