import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync, randomUUID, sign as signWith } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { encode } from './support/firebase-token.ts'
import { startKeyServer } from './support/key-server.ts'
import { assertRefused, createOrdersClient, itemsOf } from './support/orders-client.ts'
import { type ServerProcess, startServer } from './support/server-process.ts'

// Supabase Auth has no emulator on npm; these tokens have the form that its source writes.
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const jwk = { ...publicKey.export({ format: 'jwk' }), kid: randomUUID(), alg: 'ES256', use: 'sig' }
const projects = {
  current: 'https://abcdefghijklmnop.supabase.co/auth/v1',
  legacy: 'https://ponmlkjihgfedcba.supabase.co/auth/v1',
}
const secret = 'super-secret-jwt-token-with-at-least-32-characters'
const nowS = Math.floor(Date.now() / 1000)

type Claims = Readonly<Record<string, unknown>>
type Project = keyof typeof projects

function userClaims(project: Project, changes: Claims = {}): Claims {
  return {
    iss: projects[project],
    aud: 'authenticated',
    sub: '5f2c5f0e-7d1e-4a7f-9a39-0b8f3c1b2a10',
    role: 'authenticated',
    iat: nowS - 10,
    exp: nowS + 3590,
    email: 'ann@example.com',
    phone: '',
    app_metadata: { provider: 'email', providers: ['email'] },
    user_metadata: {},
    aal: 'aal1',
    amr: [{ method: 'password', timestamp: nowS - 10 }],
    session_id: randomUUID(),
    is_anonymous: false,
    ...changes,
  }
}

const es256 = (claims: Claims, header: Claims = { alg: 'ES256', kid: jwk.kid, typ: 'JWT' }) =>
  join(header, claims, (input) =>
    signWith('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }),
  )
const hs256 = (claims: Claims, key = secret, header: Claims = { alg: 'HS256', typ: 'JWT' }) =>
  join(header, claims, (input) => createHmac('sha256', key).update(input).digest())

function join(header: Claims, claims: Claims, signer: (input: string) => Buffer): string {
  const input = `${encode(header)}.${encode(claims)}`
  return `${input}.${signer(input).toString('base64url')}`
}

describe('Supabase', () => {
  const stack = new AsyncDisposableStack()
  let server: ServerProcess
  before(async () => {
    const keys = stack.use(await startKeyServer({ keys: [jwk] }))
    const common = { audience: 'authenticated', requiredClaims: { role: 'authenticated' } }
    const current = {
      ...common,
      issuer: projects.current,
      algorithms: ['ES256'],
      jwksUri: keys.url,
    }
    const legacy = { ...common, issuer: projects.legacy, algorithms: ['HS256'], secret }
    server = stack.use(await startServer({ AUTH_ISSUERS: JSON.stringify([current, legacy]) }))
  })
  after(() => stack.disposeAsync())
  const as = (token: string) => createOrdersClient(server.url, token)

  const accepted = [
    ['signing keys (ES256)', (changes: Claims) => es256(userClaims('current', changes))],
    ['the legacy secret (HS256)', (changes: Claims) => hs256(userClaims('legacy', changes))],
  ] as const
  for (const [name, issue] of accepted)
    test(`a project with ${name}: a signed-in user is one user over all sessions`, async () => {
      assert.equal((await as(issue({})).place('Rope')).status, 201)
      assert.deepEqual(itemsOf(await as(issue({ iat: nowS - 5 })).list()), ['Rope'])
      const anonymous = { sub: randomUUID(), is_anonymous: true, email: '' }
      assert.deepEqual(itemsOf(await as(issue(anonymous)).list()), [])
    })

  const noUser = { sub: undefined, aud: undefined, exp: nowS + 315_360_000 }
  const publicKeys = [JSON.stringify(jwk), publicKey.export({ type: 'spki', format: 'pem' })]
  const refusals: [name: string, token: string, code?: string][] = [
    [
      'the anon API key',
      hs256({ iss: 'supabase', ref: 'x', role: 'anon', iat: nowS, exp: noUser.exp }),
    ],
    [
      'the service_role API key',
      hs256({ iss: 'supabase', role: 'service_role', iat: nowS, exp: noUser.exp }),
    ],
    ['an anon key with our issuer', hs256(userClaims('legacy', { ...noUser, role: 'anon' }))],
    ['role anon', hs256(userClaims('legacy', { role: 'anon' }))],
    ['role service_role', hs256(userClaims('legacy', { role: 'service_role' }))],
    ['role service_role (ES256)', es256(userClaims('current', { role: 'service_role' }))],
    ['role supabase_admin (ES256)', es256(userClaims('current', { role: 'supabase_admin' }))],
    ['no role', es256(userClaims('current', { role: undefined }))],
    ['role as a list', es256(userClaims('current', { role: ['authenticated'] }))],
    ['another audience', es256(userClaims('current', { aud: 'anon' }))],
    ['no sub', es256(userClaims('current', { sub: undefined }))],
    ['expired', es256(userClaims('current', { exp: nowS - 1 })), 'token_expired'],
    ['expired (HS256)', hs256(userClaims('legacy', { exp: nowS - 1 })), 'token_expired'],
    ['the legacy secret for the other project', hs256(userClaims('current'))],
    ['the signing key for the legacy project', es256(userClaims('legacy'))],
    ['another secret', hs256(userClaims('legacy'), `${secret}!`)],
    [
      'HS256 with the public JWK as secret',
      hs256(userClaims('current'), publicKeys[0]?.toString(), { alg: 'HS256', kid: jwk.kid }),
    ],
    [
      'HS256 with the public PEM as secret',
      hs256(userClaims('current'), publicKeys[1]?.toString(), { alg: 'HS256', kid: jwk.kid }),
    ],
    ['alg none', `${encode({ alg: 'none' })}.${encode(userClaims('legacy'))}.`],
  ]
  for (const [name, token, code = 'token_invalid'] of refusals)
    test(`refused, and nothing is written: ${name}`, async () => {
      await server.database.assertUntouched(async () => {
        assertRefused(await as(token).place('Rope'), 401, code)
      })
    })
})
