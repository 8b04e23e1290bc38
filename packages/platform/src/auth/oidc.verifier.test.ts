import assert from 'node:assert/strict'
import { createPublicKey } from 'node:crypto'
import { after, before, beforeEach, describe, test } from 'node:test'
import { SignJWT } from 'jose'
import { createOidcVerifier } from './oidc.verifier.ts'
import type { OidcVerifierDeps } from './oidc.verifier.ts'
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

const issuer = 'https://id.test/auth/v1'
const algorithms = ['RS256', 'ES256', 'EdDSA']

let server: KeyServer
let clock: StandingClock
let rs: SigningKey
let es: SigningKey
let ed: SigningKey

before(async () => {
  server = await startKeyServer()
  rs = await makeSigningKey('RS256', 'rs')
  es = await makeSigningKey('ES256', 'es')
  ed = await makeSigningKey('EdDSA', 'ed')
})
after(() => server.close())
beforeEach(() => {
  clock = standingClock()
  server.requests.length = 0
  server.answers.clear()
  server.answers.set('/jwks', { body: { keys: [rs.publicJwk, es.publicJwk, ed.publicJwk] } })
})

const claimsOf = (extra: Record<string, unknown> = {}) => ({
  iss: issuer,
  aud: 'authenticated',
  sub: 'alice',
  iat: clock.nowS(),
  exp: clock.nowS() + 3600,
  ...extra,
})
type Options = { -readonly [K in keyof OidcVerifierDeps]?: OidcVerifierDeps[K] }
const verifierWith = (extra: Options = {}) =>
  createOidcVerifier({
    issuer,
    audience: 'authenticated',
    algorithms,
    jwksUri: `${server.url}/jwks`,
    clock,
    ...extra,
  })
const verify = async (claims: unknown, options: Options = {}, header = {}) => {
  const token = await signToken(es, claims, header)
  return verifierWith(options).verify(token, parse(token))
}
const result = (claims: unknown, options: Options = {}, header = {}) =>
  outcome(verify(claims, options, header))

describe('OpenID tokens', () => {
  test('RS256, ES256 and EdDSA tokens are verified, each with its own key', async () => {
    const verifier = verifierWith()
    for (const key of [rs, es, ed]) {
      const token = await signToken(key, claimsOf())
      assert.equal((await verifier.verify(token, parse(token))).subject, 'alice')
      const swapped = await signToken(key, claimsOf(), { kid: key === es ? 'rs' : 'es' })
      assert.equal(await outcome(verifier.verify(swapped, parse(swapped))), 'token_invalid')
    }
    assert.equal(server.count(), 1)
  })

  test('a Supabase token gives role, session and assurance', async () => {
    const claims = claimsOf({ role: 'authenticated', session_id: 's-1', aal: 'aal2', scope: 'a b' })
    assert.deepEqual(await verify(claims, { rolesClaim: 'role' }), {
      issuer,
      subject: 'alice',
      sessionId: 's-1',
      roles: ['authenticated'],
      scopes: ['a', 'b'],
      assurance: 'aal2',
      claims,
      via: 'bearer',
      validUntilMs: (clock.nowS() + 3600) * 1000,
    })
  })

  test('sid is a session too, and scopes come from scope or scp, text or list', async () => {
    assert.equal((await verify(claimsOf({ sid: 's-2' }))).sessionId, 's-2')
    for (const extra of [{ scope: 'a  b' }, { scp: 'a b' }, { scp: ['a', 'b'] }]) {
      assert.deepEqual((await verify(claimsOf(extra))).scopes, ['a', 'b'])
    }
    assert.equal((await verify(claimsOf({ aal: 'aal3', amr: ['otp'] }))).assurance, 'aal1')
  })

  const roleCases: readonly (readonly [claim: string, extra: object, roles: readonly string[]])[] =
    [
      ['roles', { roles: ['a', 1, null, 'b'] }, ['a', 'b']],
      ['roles', { roles: 'a' }, ['a']],
      ['roles', { roles: { a: true } }, []],
      ['roles', {}, []],
      ['https://x.test/roles', { 'https://x.test/roles': ['a'] }, ['a']],
      ['realm_access.roles', { realm_access: { roles: ['a'] } }, ['a']],
      [
        'realm_access.roles',
        { 'realm_access.roles': ['b'], realm_access: { roles: ['a'] } },
        ['b'],
      ],
      ['realm_access.roles', { realm_access: ['roles'] }, []],
      ['constructor.name', {}, []],
      ['__proto__.x', {}, []],
      ['aud.length', {}, []],
    ]
  for (const [rolesClaim, extra, roles] of roleCases) {
    test(`rolesClaim ${rolesClaim} in ${JSON.stringify(extra)} gives ${JSON.stringify(roles)}`, async () => {
      assert.deepEqual((await verify(claimsOf({ ...extra }), { rolesClaim })).roles, roles)
    })
  }

  test('roles come only from the configured claim', async () => {
    assert.deepEqual((await verify(claimsOf({ roles: ['admin'], role: 'admin' }))).roles, [])
  })

  const audiences: readonly (readonly [aud: unknown, expected: string])[] = [
    ['authenticated', 'accepted'],
    [['other', 'authenticated'], 'accepted'],
    ['other', 'token_invalid'],
    [['other'], 'token_invalid'],
    [[], 'token_invalid'],
    [undefined, 'token_invalid'],
    [null, 'token_invalid'],
    ['', 'token_invalid'],
    [['authenticated', 1], 'token_invalid'],
    [[['authenticated']], 'token_invalid'],
    [{ 0: 'authenticated' }, 'token_invalid'],
    ['authenticated ', 'token_invalid'],
  ]
  for (const [aud, expected] of audiences) {
    test(`aud ${JSON.stringify(aud)} is ${expected}`, async () => {
      assert.equal(await result(claimsOf({ aud })), expected)
    })
  }

  test('any one of several configured audiences will do', async () => {
    const options = { audience: ['a', 'b'] }
    assert.equal(await result(claimsOf({ aud: 'b' }), options), 'accepted')
    assert.equal(await result(claimsOf({ aud: 'c' }), options), 'token_invalid')
  })

  test('a token of a sibling client is refused when parties are configured', async () => {
    const options = { authorizedParties: ['app', 'web'] }
    const cases: readonly (readonly [extra: Record<string, unknown>, expected: string])[] = [
      [{ azp: 'app' }, 'accepted'],
      [{ client_id: 'web' }, 'accepted'],
      [{ azp: 'app', client_id: 'app' }, 'accepted'],
      [{ azp: 'sibling' }, 'token_invalid'],
      [{ client_id: 'sibling' }, 'token_invalid'],
      [{ azp: 'app', client_id: 'sibling' }, 'token_invalid'],
      [{ azp: 'sibling', client_id: 'app' }, 'token_invalid'],
      [{ azp: ['app'] }, 'token_invalid'],
      [{ azp: null }, 'token_invalid'],
      [{}, 'token_invalid'],
    ]
    for (const [extra, expected] of cases) {
      assert.equal(await result(claimsOf(extra), options), expected, JSON.stringify(extra))
    }
    assert.equal(await result(claimsOf({ azp: 'sibling' })), 'accepted')
  })

  test('required claims must be there: by name not null, by value exactly', async () => {
    const byName = { requiredClaims: ['email', 'tenant'] }
    assert.equal(await result(claimsOf({ email: 'a@b.test', tenant: 0 }), byName), 'accepted')
    assert.equal(await result(claimsOf({ email: 'a@b.test' }), byName), 'token_invalid')
    assert.equal(await result(claimsOf({ email: null, tenant: 0 }), byName), 'token_invalid')
    assert.equal(await result(claimsOf(), { requiredClaims: ['constructor'] }), 'token_invalid')

    const byValue = { requiredClaims: { role: 'authenticated', is_anonymous: false } }
    const good = { role: 'authenticated', is_anonymous: false }
    assert.equal(await result(claimsOf(good), byValue), 'accepted')
    for (const bad of [
      { ...good, role: 'service_role' },
      { ...good, role: 'anon' },
      { ...good, role: ['authenticated'] },
      { ...good, is_anonymous: true },
      { ...good, is_anonymous: 'false' },
      { ...good, is_anonymous: 0 },
      { role: 'authenticated' },
      { ...good, role: null },
    ]) {
      assert.equal(await result(claimsOf(bad), byValue), 'token_invalid', JSON.stringify(bad))
    }
  })

  const types: readonly (readonly [typ: string | undefined, expected: string])[] = [
    [undefined, 'accepted'],
    ['JWT', 'accepted'],
    ['jwt', 'accepted'],
    ['at+jwt', 'accepted'],
    ['AT+JWT', 'accepted'],
    ['application/at+jwt', 'accepted'],
    ['logout+jwt', 'token_invalid'],
    ['secevent+jwt', 'token_invalid'],
    ['dpop+jwt', 'token_invalid'],
    ['JWE', 'token_invalid'],
    ['', 'token_invalid'],
  ]
  for (const [typ, expected] of types) {
    test(`typ ${typ} is ${expected}`, async () => {
      assert.equal(await result(claimsOf(), {}, { typ }), expected)
    })
  }

  const wrongClaims: Readonly<Record<string, () => Record<string, unknown>>> = {
    'another issuer': () => ({ iss: 'https://evil.test' }),
    'a trailing slash in iss': () => ({ iss: `${issuer}/` }),
    'no iss': () => ({ iss: undefined }),
    'no sub': () => ({ sub: undefined }),
    'a sub of 256 characters': () => ({ sub: 'a'.repeat(256) }),
    'a newline in sub': () => ({ sub: 'a\nb' }),
    'no exp': () => ({ exp: undefined }),
    'no iat': () => ({ iat: undefined }),
    'a text as iat': () => ({ iat: '0' }),
    'iat 61 s ahead': () => ({ iat: clock.nowS() + 61 }),
    'nbf 61 s ahead': () => ({ nbf: clock.nowS() + 61 }),
  }
  for (const [what, extra] of Object.entries(wrongClaims)) {
    test(`${what} is refused`, async () => {
      assert.equal(await result(claimsOf(extra())), 'token_invalid')
    })
  }

  test('a token ends at exp', async () => {
    assert.equal(await result(claimsOf({ exp: clock.nowS() + 1 })), 'accepted')
    assert.equal(await result(claimsOf({ exp: clock.nowS() })), 'token_expired')
  })

  test('an algorithm that is published but not configured is refused', async () => {
    assert.equal(await result(claimsOf(), { algorithms: ['RS256'] }), 'token_invalid')
  })

  test('unreachable keys are 503', async () => {
    server.answers.delete('/jwks')
    assert.equal(await result(claimsOf()), 'keys_unavailable')
  })
})

describe('OpenID tokens signed with a shared secret', () => {
  const secret = 'super-secret-jwt-token-with-at-least-32-characters'
  const options: Options = { algorithms: ['HS256'], secret }
  const legacy = (extra: Options = {}) => {
    const { jwksUri: _, ...rest } = { ...verifierOptions(), ...options, ...extra }
    return createOidcVerifier(rest)
  }
  const verifierOptions = () => ({
    issuer,
    audience: 'authenticated',
    algorithms,
    clock,
    jwksUri: '',
  })
  const sign = (with_: string | Uint8Array, alg = 'HS256', claims = claimsOf()) =>
    new SignJWT(claims)
      .setProtectedHeader({ alg, typ: 'JWT' })
      .sign(typeof with_ === 'string' ? new TextEncoder().encode(with_) : with_)
  const judge = (token: string) =>
    outcome(legacy().verify(token, parse(token, { allowEmptySignature: true })))

  test('the right secret is accepted without any request, others are refused', async () => {
    assert.equal(await judge(await sign(secret)), 'accepted')
    assert.equal(await judge(await sign(`${secret} `)), 'token_invalid')
    assert.equal(await judge(await sign(`${secret}${secret}`, 'HS512')), 'token_invalid')
    assert.equal(await judge(await signToken(rs, claimsOf())), 'token_invalid')
    assert.equal(await judge(assembleToken({ alg: 'none' }, claimsOf(), '')), 'token_invalid')
    assert.equal(server.count(), 0)
  })

  test('Supabase’s anon and service_role keys are no users', async () => {
    for (const role of ['anon', 'service_role']) {
      const token = await sign(secret, 'HS256', { ...claimsOf(), role } as never)
      const verifier = legacy({ requiredClaims: { role: 'authenticated' } })
      assert.equal(await outcome(verifier.verify(token, parse(token))), 'token_invalid')
    }
  })

  test('a public key is no secret, in whatever form', async () => {
    const publicKey = createPublicKey({ key: { ...rs.publicJwk }, format: 'jwk' })
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
    for (const material of [
      pem,
      ` ${pem}`,
      pem.replaceAll('\n', '\r\n'),
      publicKey.export({ type: 'spki', format: 'der' }),
    ]) {
      const token = await sign(material)
      const verifier = verifierWith()
      assert.equal(await outcome(verifier.verify(token, parse(token))), 'token_invalid')
    }
  })
})

describe('OpenID discovery', () => {
  const path = '/realm/.well-known/openid-configuration'
  const realm = () => `${server.url}/realm`
  const discovering = (name = realm()) => {
    const { jwksUri: _, ...deps } = {
      issuer: name,
      audience: 'authenticated',
      algorithms,
      clock,
      jwksUri: '',
    }
    return createOidcVerifier(deps)
  }
  const describeRealm = (extra: Record<string, unknown> = {}) =>
    server.answers.set(path, {
      body: { issuer: realm(), jwks_uri: `${server.url}/jwks`, ...extra },
    })
  const attempt = async (verifier = discovering()) => {
    const token = await signToken(es, claimsOf({ iss: verifier.issuer }))
    return outcome(verifier.verify(token, parse(token)))
  }

  test('happens at the first token, not before, and not again for the next', async () => {
    describeRealm()
    const verifier = discovering()
    assert.equal(server.count(), 0)
    assert.equal(await attempt(verifier), 'accepted')
    assert.equal(await attempt(verifier), 'accepted')
    assert.equal(server.count(path), 1)
  })

  test('an issuer with a trailing slash is compared with it and asked without doubling it', async () => {
    describeRealm({ issuer: `${realm()}/` })
    assert.equal(await attempt(discovering(`${realm()}/`)), 'accepted')
    assert.equal(await attempt(discovering()), 'keys_unavailable')
  })

  test('a document that cannot be trusted is 503, and tried again', async () => {
    for (const extra of [
      { issuer: `${server.url}/other` },
      { issuer: undefined },
      { jwks_uri: undefined },
      { jwks_uri: 'http://keys.test/jwks' },
      { jwks_uri: 'file:///etc/passwd' },
      { jwks_uri: 'not an address' },
    ]) {
      describeRealm(extra)
      const verifier = discovering()
      assert.equal(await attempt(verifier), 'keys_unavailable', JSON.stringify(extra))
      describeRealm()
      clock.advanceS(5)
      assert.equal(await attempt(verifier), 'accepted')
    }
  })

  test('keys are never asked for over plain http, wherever the document points', async () => {
    const asked: string[] = []
    const verifier = createOidcVerifier({
      issuer: 'https://id.test',
      audience: 'authenticated',
      algorithms,
      clock,
      fetch: async (url) => {
        asked.push(url)
        return Response.json({ issuer: 'https://id.test', jwks_uri: 'http://keys.test/jwks' })
      },
    })
    assert.equal(await attempt(verifier), 'keys_unavailable')
    assert.deepEqual(asked, ['https://id.test/.well-known/openid-configuration'])
  })

  test('a document that is not there is 503', async () => {
    assert.equal(await attempt(), 'keys_unavailable')
  })
})

describe('half a configuration of an OpenID provider is refused at creation', () => {
  const secret = 's'.repeat(32)
  const bad: Readonly<Record<string, readonly [options: Options, message: RegExp]>> = {
    'no issuer': [{ issuer: '' }, /no issuer/],
    'no audience': [{ audience: '' }, /no audience/],
    'an empty list of audiences': [{ audience: [] }, /no audience/],
    'an empty audience among others': [{ audience: ['a', ''] }, /no audience/],
    'no algorithms': [{ algorithms: [] }, /no algorithms/],
    'alg none': [{ algorithms: ['none'] }, /HS256 alone/],
    'HS256 without a secret': [{ algorithms: ['HS256'] }, /HS256 alone/],
    'HS256 beside RS256': [{ algorithms: ['RS256', 'HS256'] }, /HS256 alone/],
    'an unknown algorithm': [{ algorithms: ['RS1'] }, /HS256 alone/],
    'a secret with RS256': [{ secret }, /exactly HS256/],
    'a secret with HS256 and RS256': [{ secret, algorithms: ['HS256', 'RS256'] }, /exactly HS256/],
    'a secret with a jwksUri': [{ secret, algorithms: ['HS256'] }, /both/],
    'a plain http jwksUri': [{ jwksUri: 'http://keys.test/jwks' }, /https/],
    'a jwksUri that is no address': [{ jwksUri: 'keys' }, /https/],
    'an empty list of parties': [{ authorizedParties: [] }, /authorized parties/],
    'an empty rolesClaim': [{ rolesClaim: '' }, /rolesClaim/],
    'a required value that is an object': [{ requiredClaims: { a: {} } }, /required claim a/],
    'a required value that is undefined': [
      { requiredClaims: { a: undefined } },
      /required claim a/,
    ],
  }
  for (const [what, [options, message]] of Object.entries(bad)) {
    test(what, () => assert.throws(() => verifierWith(options), message))
  }

  test('a short secret, a PEM as secret, and discovery over plain http', () => {
    const base = { issuer, audience: 'a', clock }
    const hs = { ...base, algorithms: ['HS256'] }
    assert.throws(() => createOidcVerifier({ ...hs, secret: 's'.repeat(31) }), /32 bytes/)
    const pem = `-----BEGIN PUBLIC KEY-----${secret}`
    assert.throws(() => createOidcVerifier({ ...hs, secret: pem }), /PEM/)
    const plain = { ...base, issuer: 'http://id.test', algorithms: ['RS256'] }
    assert.throws(() => createOidcVerifier(plain), /https/)
    assert.ok(createOidcVerifier({ ...hs, secret }))
  })
})
