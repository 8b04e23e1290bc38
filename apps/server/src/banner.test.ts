import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { banner } from './banner.ts'
import { loadConfig } from './config.ts'
import type { RunningServer } from './server.ts'

const gateway = {
  AWS_REGION: 'eu-central-1',
  COGNITO_USER_POOL_ID: 'eu-central-1_AbCdEfGhI',
  COGNITO_TRUST_GATEWAY: 'true',
  GATEWAY_SHARED_SECRET: 'a-secret-of-at-least-32-characters',
}
const emulator = {
  FIREBASE_PROJECT_ID: 'demo-shop',
  FIREBASE_AUTH_EMULATOR_HOST: '127.0.0.1:9099',
}

function bannerFor(env: Record<string, string>, url = 'http://127.0.0.1:8080'): string {
  const server: Pick<RunningServer, 'url' | 'parts'> & { app: { routes: unknown[] } } = {
    url,
    parts: [['database', 'PostgreSQL at db.test/shop']],
    app: { routes: [1, 2, 3] },
  }
  return banner(server as unknown as RunningServer, loadConfig(env))
}

describe('the banner', () => {
  test('tells the address, the documentation, what runs on what, and a first command', () => {
    const text = bannerFor({})
    assert.match(text, /listening on http:\/\/127\.0\.0\.1:8080\n/)
    assert.match(text, /database +PostgreSQL at db\.test\/shop\n/)
    assert.match(text, /routes +3, described at http:\/\/127\.0\.0\.1:8080\/docs\n/)
    assert.match(text, /curl http:\/\/127\.0\.0\.1:8080\/health\/ready\n/)
    assert.doesNotMatch(text, /WARNING/)
  })

  for (const [listening, shown] of [
    ['http://0.0.0.0:8080', 'http://127.0.0.1:8080'],
    ['http://[::]:8080', 'http://localhost:8080'],
  ] as const)
    test(`${listening} is no address to connect to; ${shown} is shown`, () => {
      const text = bannerFor({}, listening)
      assert(text.includes(`curl ${shown}/`))
      assert.equal(text.includes(listening), false)
    })

  test('gateway mode is warned of, without its secret', () => {
    const text = bannerFor(gateway)
    assert.match(text, /WARNING: gateway mode.*signatures are NOT checked/)
    assert.equal(text.includes(gateway.GATEWAY_SHARED_SECRET), false)
  })

  test('tokens of the emulator are warned of', () => {
    assert.match(bannerFor(emulator), /WARNING: unsigned tokens of the Firebase emulator/)
  })
})
