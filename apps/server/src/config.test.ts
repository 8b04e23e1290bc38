import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import { ConfigurationError, Environment, loadConfig } from './config.ts'

type Env = Readonly<Record<string, string>>

/** The lines of the refusal, without its heading. */
function problemsOf(env: Env): string[] {
  try {
    loadConfig(env)
  } catch (error) {
    assert(error instanceof ConfigurationError)
    const [heading, ...lines] = error.message.split('\n')
    assert.match(heading ?? '', /environment/)
    return lines.map((line) => line.replace(/^- /, ''))
  }
  return []
}

/** The names at the beginning of each problem. */
const namesOf = (env: Env) => problemsOf(env).map((line) => /^[A-Z][A-Z0-9_]*/.exec(line)?.[0])

const secret = 'a-secret-of-at-least-32-characters'
const cognito = {
  AWS_REGION: 'eu-central-1',
  COGNITO_USER_POOL_ID: 'eu-central-1_AbCdEfGhI',
  COGNITO_CLIENT_ID: 'client',
}
const issuer = { issuer: 'https://id.test', audience: 'app', algorithms: ['RS256'] }
const issuers = (...entries: unknown[]) => ({ AUTH_ISSUERS: JSON.stringify(entries) })

describe('the environment', () => {
  test('nothing has to be set', () => {
    const config = loadConfig({})
    assert.equal(config.HOST, '127.0.0.1')
    assert.equal(config.PORT, 8080)
    assert.equal(config.databaseUrl, undefined)
    assert.equal(config.LOG_REDACT_SENSITIVE, true)
    assert.deepEqual(config.issuers, [])
    assert.deepEqual(config.trustedProxies, [])
  })

  test('numbers and flags are read, blanks are nothing, lists are split', () => {
    const config = loadConfig({
      PORT: ' 9000 ',
      LOG_REDACT_SENSITIVE: 'false',
      REDIS_URL: '  ',
      FIREBASE_PROJECT_ID: '',
      TRUSTED_PROXIES: '10.0.0.0/8, ::1 ,',
      CLIENT_DOMAIN: 'https://app.test,http://localhost:3000',
    })
    assert.equal(config.PORT, 9000)
    assert.equal(config.LOG_REDACT_SENSITIVE, false)
    assert.equal(config.REDIS_URL, undefined)
    assert.equal(config.FIREBASE_PROJECT_ID, undefined)
    assert.deepEqual(config.trustedProxies, ['10.0.0.0/8', '::1'])
    assert.deepEqual(config.clientOrigins, ['https://app.test', 'http://localhost:3000'])
  })

  test('it is frozen', () => {
    assert(Object.isFrozen(loadConfig({})))
  })

  test('every problem is reported together, by name', () => {
    const wrong = {
      PORT: 'eighty',
      DATABASE_POOL_SIZE: '0',
      LOG_LEVEL: 'loud',
      LOG_REDACT_SENSITIVE: 'perhaps',
      COGNITO_USER_POOL_ID: 'pool',
      COGNITO_TRUST_GATEWAY: 'true',
      TRUSTED_PROXIES: 'everybody',
      CLIENT_DOMAIN: 'https://app.test/path',
      DATABASE_URL: 'mysql://localhost/db',
      REDIS_URL: 'localhost:6379',
      AUTH_ISSUERS: '{}',
    }
    assert.deepEqual(
      new Set(namesOf(wrong)),
      new Set(
        [...Object.keys(wrong), 'AWS_REGION', 'GATEWAY_SHARED_SECRET'].filter(
          (name) => name !== 'COGNITO_USER_POOL_ID' && name !== 'COGNITO_TRUST_GATEWAY',
        ),
      ),
    )
  })

  test('no value is ever shown', () => {
    const canary = 'hunter2canary'
    for (const name of Object.keys(Environment.properties)) {
      // Wrong for whatever has a form at all; the names it needs beside it are missing.
      const shown = problemsOf({ [name]: canary, COGNITO_TRUST_GATEWAY: 'true', DB_PORT: '0' })
      assert(shown.length > 0)
      assert.equal(shown.join().includes(canary), false, name)
    }
    const inIssuers = problemsOf(issuers({ ...issuer, secret: canary, surprise: canary }))
    assert(inIssuers.length > 0)
    assert.equal(inIssuers.join().includes(canary), false)
  })

  for (const [what, env, name] of [
    ['a port that is no port', { PORT: '65536' }, 'PORT'],
    ['a port with something behind it', { PORT: '80a' }, 'PORT'],
    ['a port that is no whole number', { PORT: '80.5' }, 'PORT'],
    ['a database port of 0', { DB_HOST: 'h', DB_USER: 'u', DB_NAME: 'n', DB_PORT: '0' }, 'DB_PORT'],
    ['a timeout that nothing could keep', { HEADERS_TIMEOUT_MS: '1' }, 'HEADERS_TIMEOUT_MS'],
    [
      'two databases',
      { DATABASE_URL: 'postgres://a/b', PROJECT_DATABASE_URL: 'postgres://a/c' },
      'DATABASE_URL',
    ],
    ['a URL of another database', { PROJECT_DATABASE_URL: 'mysql://a/b' }, 'PROJECT_DATABASE_URL'],
    ['a URL that is none', { DATABASE_URL: 'postgres://[half' }, 'DATABASE_URL'],
    ['a CA file for the embedded database', { DATABASE_CA_FILE: '/ca.pem' }, 'DATABASE_CA_FILE'],
    ['a database host without user and name', { DB_HOST: 'db' }, 'DB_HOST'],
    ['a database password alone', { DB_PASSWORD: 'x' }, 'DB_HOST'],
    ['a user pool without a region', { ...cognito, AWS_REGION: '' }, 'AWS_REGION'],
    ['a user pool without a client', { ...cognito, COGNITO_CLIENT_ID: '' }, 'COGNITO_CLIENT_ID'],
    ['a client without a user pool', { COGNITO_CLIENT_ID: 'client' }, 'COGNITO_USER_POOL_ID'],
    [
      'gateway mode without a secret',
      { ...cognito, COGNITO_TRUST_GATEWAY: 'true' },
      'GATEWAY_SHARED_SECRET',
    ],
    [
      'gateway mode without a user pool',
      { COGNITO_TRUST_GATEWAY: 'true', GATEWAY_SHARED_SECRET: secret },
      'COGNITO_USER_POOL_ID',
    ],
    [
      'a gateway secret that is short',
      { ...cognito, COGNITO_TRUST_GATEWAY: 'true', GATEWAY_SHARED_SECRET: 'short' },
      'GATEWAY_SHARED_SECRET',
    ],
    [
      'a second gateway secret that is short',
      { ...cognito, COGNITO_TRUST_GATEWAY: 'true', GATEWAY_SHARED_SECRET: `${secret},short` },
      'GATEWAY_SHARED_SECRET',
    ],
    [
      'a gateway secret that ends with a comma',
      { ...cognito, COGNITO_TRUST_GATEWAY: 'true', GATEWAY_SHARED_SECRET: `${secret},` },
      'GATEWAY_SHARED_SECRET',
    ],
    [
      'a gateway secret without gateway mode',
      { GATEWAY_SHARED_SECRET: secret },
      'GATEWAY_SHARED_SECRET',
    ],
    [
      'the emulator with a real project',
      { FIREBASE_PROJECT_ID: 'shop', FIREBASE_AUTH_EMULATOR_HOST: '127.0.0.1:9099' },
      'FIREBASE_AUTH_EMULATOR_HOST',
    ],
    [
      'the emulator with a project that only contains demo-',
      { FIREBASE_PROJECT_ID: 'my-demo-shop', FIREBASE_AUTH_EMULATOR_HOST: '127.0.0.1:9099' },
      'FIREBASE_AUTH_EMULATOR_HOST',
    ],
    [
      'the emulator without a project',
      { FIREBASE_AUTH_EMULATOR_HOST: '127.0.0.1:9099' },
      'FIREBASE_PROJECT_ID',
    ],
    [
      'a revocation check without a service account',
      { FIREBASE_PROJECT_ID: 'shop', FIREBASE_CHECK_REVOKED: 'true' },
      'GOOGLE_APPLICATION_CREDENTIALS',
    ],
    ['issuers that are no list', { AUTH_ISSUERS: '"https://id.test"' }, 'AUTH_ISSUERS'],
    ['issuers that are no JSON', { AUTH_ISSUERS: 'https://id.test' }, 'AUTH_ISSUERS'],
    ['an issuer without an audience', issuers({ ...issuer, audience: undefined }), 'AUTH_ISSUERS'],
    ['an issuer with an empty audience', issuers({ ...issuer, audience: '' }), 'AUTH_ISSUERS'],
    [
      'an issuer with no audience in the list',
      issuers({ ...issuer, audience: [] }),
      'AUTH_ISSUERS',
    ],
    ['an issuer without algorithms', issuers({ ...issuer, algorithms: [] }), 'AUTH_ISSUERS'],
    ['an issuer with a short secret', issuers({ ...issuer, secret: 'short' }), 'AUTH_ISSUERS'],
    ['an issuer with a misspelt member', issuers({ ...issuer, audiences: 'a' }), 'AUTH_ISSUERS'],
    ['a second issuer that is wrong', issuers(issuer, {}), 'AUTH_ISSUERS'],
    ['a proxy that is a name', { TRUSTED_PROXIES: '10.0.0.1,proxy' }, 'TRUSTED_PROXIES'],
    ['a range that is none', { TRUSTED_PROXIES: '10.0.0.0/x' }, 'TRUSTED_PROXIES'],
    ['a range wider than its addresses', { TRUSTED_PROXIES: '10.0.0.0/33' }, 'TRUSTED_PROXIES'],
    ['any origin', { CLIENT_DOMAIN: '*' }, 'CLIENT_DOMAIN'],
    ['an origin with a slash', { CLIENT_DOMAIN: 'https://app.test/' }, 'CLIENT_DOMAIN'],
  ] as const)
    test(`${what} is refused, naming ${name}`, () => {
      assert.deepEqual(namesOf(env), [name])
    })

  for (const [what, env] of [
    ['a user pool with region and client', cognito],
    [
      'gateway mode with two secrets',
      { ...cognito, COGNITO_TRUST_GATEWAY: 'true', GATEWAY_SHARED_SECRET: `${secret},${secret}` },
    ],
    [
      'the emulator with a demo project',
      { FIREBASE_PROJECT_ID: 'demo-shop', FIREBASE_AUTH_EMULATOR_HOST: '127.0.0.1:9099' },
    ],
    ['an issuer with two audiences', issuers({ ...issuer, audience: ['a', 'b'] })],
    [
      'the same database under both names',
      { DATABASE_URL: 'postgres://a/b', PROJECT_DATABASE_URL: 'postgres://a/b' },
    ],
    ['the widest range of IPv6', { TRUSTED_PROXIES: 'fd00::/8' }],
  ] as const)
    test(`${what} is accepted`, () => {
      assert.deepEqual(problemsOf(env), [])
    })

  test('the parts of a database address survive whatever is in them', () => {
    const parts = {
      DB_HOST: 'db.test',
      DB_USER: 'us@er',
      DB_PASSWORD: `p@ss:w/o?r#d%41 'ü`,
      DB_NAME: 'my/db name',
    }
    const url = new URL(loadConfig(parts).databaseUrl ?? '')
    assert.equal(url.protocol, 'postgres:')
    assert.equal(url.host, 'db.test:5432')
    assert.equal(decodeURIComponent(url.username), parts.DB_USER)
    assert.equal(decodeURIComponent(url.password), parts.DB_PASSWORD)
    assert.equal(decodeURIComponent(url.pathname.slice(1)), parts.DB_NAME)
    assert.deepEqual([url.search, url.hash], ['', ''])
  })

  test('a database host may be an IPv6 address, and a password may be missing', () => {
    const { databaseUrl } = loadConfig({
      DB_HOST: '2001:db8::1',
      DB_USER: 'u',
      DB_NAME: 'n',
      DB_PORT: '5433',
    })
    assert.equal(databaseUrl, 'postgres://u@[2001:db8::1]:5433/n')
  })

  test('nothing depends on NODE_ENV, nor on any variable that is not listed', async () => {
    const env = { ...cognito, NODE_ENV: 'production', DEBUG: '1' }
    assert.deepEqual(loadConfig(env), loadConfig(cognito))
    for (const file of ['config.ts', 'config-rules.ts', 'server.ts', 'start.ts'])
      assert.doesNotMatch(await readFile(new URL(file, import.meta.url), 'utf8'), /NODE_ENV/)
  })
})
