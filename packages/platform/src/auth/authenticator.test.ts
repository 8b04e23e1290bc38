import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import * as fc from 'fast-check'
import { commonErrors } from '../errors.ts'
import { createTokenAuthenticator } from './authenticator.ts'
import type { TokenAuthenticatorDeps } from './authenticator.ts'
import { createFirebaseVerifier } from './firebase.verifier.ts'
import { createGatewayVerifier } from './gateway.verifier.ts'
import { createOidcVerifier } from './oidc.verifier.ts'
import { startKeyServer } from './testing/key-server.ts'
import type { KeyServer } from './testing/key-server.ts'
import {
  assembleToken,
  makeSigningKey,
  outcome,
  signToken,
  standingClock,
} from './testing/signing.ts'
import type { SigningKey, StandingClock } from './testing/signing.ts'
import { createTokenCache } from './token-cache.ts'
import type { TokenVerifier } from './verifier.ts'

describe('the token authenticator', () => {
  let server: KeyServer
  let clock: StandingClock
  let key: SigningKey

  before(async () => {
    server = await startKeyServer()
    key = await makeSigningKey('ES256', 'k1')
    server.answers.set('/jwks', { body: { keys: [key.publicJwk] } })
  })
  after(() => server.close())
  beforeEach(() => {
    clock = standingClock()
    server.requests.length = 0
  })

  const issuer = 'https://id.test'
  const poolIssuer = 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_A1'
  const oidc = () =>
    createOidcVerifier({
      issuer,
      audience: 'app',
      algorithms: ['ES256'],
      jwksUri: `${server.url}/jwks`,
      rolesClaim: 'roles',
      clock,
    })
  const authenticatorWith = (extra: Partial<TokenAuthenticatorDeps> = {}) =>
    createTokenAuthenticator({
      verifiers: [oidc()],
      resolveUser: async (token) => `user-of-${token.subject}`,
      clock,
      ...extra,
    })
  const claimsOf = (extra: Record<string, unknown> = {}) => ({
    iss: issuer,
    aud: 'app',
    sub: 'alice',
    iat: clock.nowS(),
    exp: clock.nowS() + 3600,
    ...extra,
  })

  test('a verified token becomes a principal, frozen to the bottom, and is then cached', async () => {
    const authenticator = authenticatorWith()
    const claims = claimsOf({ roles: ['staff'], nested: { list: [{ a: 1 }] } })
    const token = await signToken(key, claims)
    assert.equal(authenticator.cached(token), undefined)
    const principal = await authenticator.authenticate(token)
    assert.deepEqual(principal, {
      userId: 'user-of-alice',
      subject: 'alice',
      issuer,
      roles: ['staff'],
      scopes: [],
      assurance: 'aal1',
      claims,
      via: 'bearer',
    })
    assert.equal(authenticator.cached(token), principal)
    assert.equal(await authenticator.authenticate(token), principal)
    assertFrozen(principal)
    assert.deepEqual(authenticator.stats(), { hits: 1, misses: 1, size: 1 })
  })

  test('a cached token ends at its end, to the millisecond', async () => {
    const authenticator = authenticatorWith()
    const token = await signToken(key, claimsOf({ exp: clock.nowS() + 10 }))
    await authenticator.authenticate(token)
    const endMs = (clock.nowS() + 10) * 1000
    assert.ok(authenticator.cached(token, endMs - 1))
    assert.equal(authenticator.cached(token, endMs), undefined)
    clock.advanceS(10)
    assert.equal(authenticator.cached(token), undefined)
    assert.equal(await outcome(authenticator.authenticate(token)), 'token_expired')
  })

  test('one changed character of a cached token is another token', async () => {
    const authenticator = authenticatorWith()
    const token = await signToken(key, claimsOf())
    await authenticator.authenticate(token)
    for (const respelt of [
      `${token} `,
      `${token}=`,
      ` ${token}`,
      token.toLowerCase(),
      `${token}.`,
    ]) {
      assert.equal(authenticator.cached(respelt), undefined)
      assert.equal(await outcome(authenticator.authenticate(respelt)), 'token_invalid')
    }
  })

  test('an issuer that is not configured is refused without any request', async () => {
    const authenticator = authenticatorWith()
    for (const iss of [
      server.url,
      `${issuer}/`,
      issuer.toUpperCase(),
      undefined,
      null,
      '',
      [issuer],
      '__proto__',
    ]) {
      const token = await signToken(key, claimsOf({ iss }))
      assert.equal(await outcome(authenticator.authenticate(token)), 'token_invalid')
    }
    assert.equal(server.count(), 0)
  })

  test('what is no compact JWT is refused without any request', async () => {
    const authenticator = authenticatorWith()
    const token = await signToken(key, claimsOf())
    for (const bad of ['', 'a.b', `${token}\n`, `${token}.x`, 'x'.repeat(10_000), '{}']) {
      assert.equal(await outcome(authenticator.authenticate(bad)), 'token_invalid')
    }
    assert.equal(server.count(), 0)
  })

  test('a thousand uses of a new token at once are one verification and one user', async () => {
    let resolved = 0
    const authenticator = authenticatorWith({
      resolveUser: async () => {
        resolved += 1
        await new Promise(setImmediate)
        return 'u1'
      },
    })
    const token = await signToken(key, claimsOf())
    const all = await Promise.all(
      Array.from({ length: 1000 }, () => authenticator.authenticate(token)),
    )
    assert.equal(new Set(all).size, 1)
    assert.equal(resolved, 1)
    assert.equal(server.count(), 1)
  })

  test('failures are not remembered, of the keys or of the users', async () => {
    let isDown = true
    const authenticator = authenticatorWith({
      resolveUser: async () => {
        if (isDown) throw commonErrors.unavailable()
        return 'u1'
      },
    })
    const token = await signToken(key, claimsOf())
    server.answers.set('/jwks', { status: 500 })
    assert.equal(await outcome(authenticator.authenticate(token)), 'keys_unavailable')
    server.answers.set('/jwks', { body: { keys: [key.publicJwk] } })
    clock.advanceS(5)
    assert.equal(await outcome(authenticator.authenticate(token)), 'unavailable')
    assert.equal(authenticator.stats().size, 0)
    isDown = false
    assert.equal(await outcome(authenticator.authenticate(token)), 'accepted')
  })

  test('a flood of invalid tokens fetches keys once in 30 s and fills nothing', async () => {
    const authenticator = authenticatorWith()
    await authenticator.authenticate(await signToken(key, claimsOf()))
    clock.advanceS(31)
    for (let i = 0; i < 300; i += 1) {
      const forged = assembleToken({ alg: 'ES256', kid: `k-${i}` }, claimsOf(), 'A'.repeat(86))
      assert.equal(await outcome(authenticator.authenticate(forged)), 'token_invalid')
    }
    assert.equal(server.count(), 2)
    assert.equal(authenticator.stats().size, 1)
  })

  test('unsigned tokens reach the emulator’s verifier and no other', async () => {
    const emulator = createFirebaseVerifier({
      projectId: 'demo-shop',
      emulatorHost: '127.0.0.1:9099',
      clock,
    })
    const unsigned = (claims: unknown) => assembleToken({ alg: 'none', typ: 'JWT' }, claims, '')
    const demo = unsigned({
      ...claimsOf(),
      iss: 'https://securetoken.google.com/demo-shop',
      aud: 'demo-shop',
      auth_time: clock.nowS(),
    })
    const both = authenticatorWith({ verifiers: [oidc(), emulator] })
    assert.equal((await both.authenticate(demo)).userId, 'user-of-alice')
    assert.equal(await outcome(both.authenticate(unsigned(claimsOf()))), 'token_invalid')
    assert.equal(await outcome(authenticatorWith().authenticate(demo)), 'token_invalid')
  })

  test('the gateway takes the tokens of its pool and those without iss, and no others', async () => {
    const authenticator = authenticatorWith({
      gateway: createGatewayVerifier({ issuer: poolIssuer, clock }),
    })
    const forged = (claims: unknown) => assembleToken({ alg: 'RS256' }, claims, 'AAAA')
    const principal = await authenticator.authenticate(
      forged({ iss: poolIssuer, sub: 'bob', roles: ['admin'] }),
    )
    assert.equal(principal.via, 'gateway')
    assert.deepEqual(principal.claims, { sub: 'bob' })
    assert.equal((await authenticator.authenticate(forged({ sub: 'eve' }))).via, 'gateway')
    const unsigned = assembleToken({ alg: 'none' }, { sub: 'eve' }, '')
    assert.equal(await outcome(authenticator.authenticate(unsigned)), 'token_invalid')
    for (const claims of [
      claimsOf(),
      { sub: 'bob', iss: 'https://x.test' },
      { sub: 'bob', iss: null },
    ]) {
      assert.equal(await outcome(authenticator.authenticate(forged(claims))), 'token_invalid')
    }
    assert.equal(
      await outcome(authenticatorWith().authenticate(forged({ sub: 'eve' }))),
      'token_invalid',
    )
  })

  test('two verifiers for one issuer are refused at creation', () => {
    assert.throws(() => authenticatorWith({ verifiers: [oidc(), oidc()] }), /twice/)
    const gateway = createGatewayVerifier({ issuer, clock })
    assert.throws(() => authenticatorWith({ gateway }), /twice/)
  })

  test('the cache never gives one token’s principal to another, in any order of use', async () => {
    const token = (sub: number, salt: number) =>
      assembleToken({ alg: 'ES256' }, { iss: issuer, sub: `s${sub}`, salt }, 'AAAA')
    const verifier: TokenVerifier = {
      name: 'by-subject',
      issuer,
      verify: async (_text, { claims }) => ({
        issuer,
        subject: String(claims['sub']),
        roles: [],
        scopes: [],
        assurance: 'aal1',
        claims,
        via: 'bearer',
        validUntilMs: clock.now().getTime() + 5000 * (1 + (Number(claims['salt']) % 3)),
      }),
    }
    const step = fc.record({
      sub: fc.nat({ max: 12 }),
      salt: fc.nat({ max: 5 }),
      waitS: fc.nat({ max: 4 }),
      atOnce: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60 }),
        fc.integer({ min: 2, max: 20 }),
        async (steps, max) => {
          const authenticator = authenticatorWith({ verifiers: [verifier], cacheEntriesMax: max })
          const running: Promise<void>[] = []
          for (const { sub, salt, waitS, atOnce } of steps) {
            const text = token(sub, salt)
            const expect = (
              found: { subject: string; userId: string; claims: unknown } | undefined,
            ) => {
              if (found === undefined) return
              assert.equal(found.subject, `s${sub}`)
              assert.equal(found.userId, `user-of-s${sub}`)
              assert.deepEqual(found.claims, { iss: issuer, sub: `s${sub}`, salt })
            }
            expect(authenticator.cached(text))
            const done = authenticator.authenticate(text).then(expect)
            if (atOnce) running.push(done)
            else await done
            clock.advanceS(waitS)
            assert.ok(authenticator.stats().size <= max)
          }
          await Promise.all(running)
        },
      ),
      { numRuns: 60 },
    )
  })
})

describe('the token cache', () => {
  test('stays within its entries under 200,000 different tokens', () => {
    const cache = createTokenCache<number>({ entriesMax: 10_000, bytesMax: 16 * 1024 * 1024 })
    let largest = 0
    for (let i = 0; i < 200_000; i += 1) {
      cache.set(`token-${i}`, i, 10)
      largest = Math.max(largest, cache.size())
    }
    assert.equal(largest, 10_000)
    assert.equal(cache.get('token-199999', 0), 199_999)
    assert.equal(cache.get('token-0', 0), undefined)
  })

  test('stays within its bytes', () => {
    const cache = createTokenCache<number>({ entriesMax: 10_000, bytesMax: 100_000 })
    for (let i = 0; i < 1000; i += 1) {
      cache.set(`${i}`.padEnd(1000, 'x'), i, 10)
      assert.ok(cache.size() * 1000 <= 100_000)
    }
    assert.ok(cache.size() >= 50)
    cache.set('y'.repeat(50_001), 1, 10)
    assert.equal(cache.get('y'.repeat(50_001), 0), undefined)
  })

  test('what is in use survives, what is not makes room', () => {
    const cache = createTokenCache<number>({ entriesMax: 100, bytesMax: 1e6 })
    cache.set('in-use', 1, 10)
    cache.set('forgotten', 2, 10)
    for (let i = 0; i < 500; i += 1) {
      cache.set(`other-${i}`, i, 10)
      assert.equal(cache.get('in-use', 0), 1)
    }
    assert.equal(cache.get('forgotten', 0), undefined)
  })

  test('the same token set again replaces itself, and moving back keeps its end', () => {
    const cache = createTokenCache<number>({ entriesMax: 4, bytesMax: 1e6 })
    cache.set('a', 1, 10)
    cache.set('a', 2, 20)
    assert.equal(cache.size(), 1)
    assert.equal(cache.get('a', 15), 2)
    // Two fit into a generation, so these two push `a` into the old one.
    for (const other of ['b', 'c']) cache.set(other, 0, 99)
    assert.equal(cache.get('a', 20), undefined)
    assert.equal(cache.get('a', 19), 2)
    assert.equal(cache.get('a', 20), undefined)
    assert.equal(cache.size(), 3)
  })
})

function assertFrozen(value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  assert.ok(Object.isFrozen(value))
  for (const member of Object.values(value)) assertFrozen(member)
}
