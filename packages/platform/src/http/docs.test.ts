import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { createTestApp, type TestApp } from '../testing/index.ts'

describe('the API reference at /docs', () => {
  let app: TestApp
  let html: string
  let policy: string
  before(async () => {
    app = await createTestApp([])
    const reply = await app.anybody.get('/docs')
    assert.equal(reply.statusCode, 200)
    assert.equal(reply.headers['content-type'], 'text/html; charset=utf-8')
    html = reply.body
    policy = String(reply.headers['content-security-policy'])
  })
  after(async () => app.close())

  test('loads nothing from another host', () => {
    const resources = [
      ...html.matchAll(
        /<(?:script|link|img|iframe|source|use)\b[^>]*?\s(?:src|href)=["']?([^"'\s>]+)/g,
      ),
    ]
    assert.deepEqual(
      resources.map(([, url]) => url),
      ['/docs/reference.js'],
    )
    assert.doesNotMatch(html, /(?:https?:)?\/\/[a-z0-9-]+\.[a-z]/i)
    assert.doesNotMatch(html, /@import|<base/i)
  })

  test('is forbidden by its policy to load or send anything elsewhere', () => {
    const directives = new Map(
      policy.split('; ').map((each) => [each.split(' ')[0], each.split(' ').slice(1)]),
    )
    assert.deepEqual(directives.get('default-src'), ["'self'"])
    assert.deepEqual(directives.get('frame-ancestors'), ["'none'"])
    for (const name of ['connect-src', 'form-action', 'object-src', 'base-uri'])
      assert.ok(
        (directives.get(name) ?? []).every((source) => ["'self'", "'none'"].includes(source)),
      )
    const hosts = policy.match(/https?:|wss?:|\*/g)
    assert.equal(hosts, null)
    assert.ok(!directives.get('script-src')?.includes("'unsafe-inline'"))
    assert.ok(!directives.get('script-src')?.includes("'unsafe-eval'"))
  })

  test('allows its own inline scripts by their hashes, and those only', () => {
    const inline = [...html.matchAll(/<script(?![^>]*\bsrc=)[^>]*>([\s\S]*?)<\/script>/g)]
    const hashes = inline.map(
      ([, code]) =>
        `'sha256-${createHash('sha256')
          .update(code ?? '')
          .digest('base64')}'`,
    )
    assert.ok(hashes.length > 0)
    assert.deepEqual(policy.match(/'sha256-[^']+'/g), hashes)
  })

  test('shows the description of this server', () => {
    assert.match(html, /"url": "\/openapi\.json"/)
  })

  test('brings its own script', async () => {
    const reply = await app.anybody.get('/docs/reference.js')
    assert.equal(reply.statusCode, 200)
    assert.equal(reply.headers['content-type'], 'text/javascript; charset=utf-8')
    assert.ok(reply.body.length > 100_000)
    assert.match(reply.body, /createApiReference/)
  })
})
