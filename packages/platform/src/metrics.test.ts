import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Type } from 'typebox'
import { defineFeature } from './feature.ts'
import { publicAccess, userAccess } from './http/access.ts'
import { standInUsers } from './http/testing/stand-in-users.ts'
import { createTestApp, type TestApp } from './testing/index.ts'

const pages = defineFeature({
  name: 'pages',
  setup: () => ({
    routes(app) {
      const params = Type.Object({ id: Type.String() })
      const schema = { params, response: { 200: Type.Object({}) } }
      app.get('/public/pages/:id', { config: { access: publicAccess() }, schema }, async () => ({}))
      app.get('/auth/pages/:id', { config: { access: userAccess() }, schema }, async () => ({}))
    },
  }),
})

describe('metrics', () => {
  let app: TestApp
  before(async () => {
    app = await createTestApp([standInUsers, pages])
  })
  after(async () => app.close())

  const text = async (): Promise<string> =>
    (await app.asService('metrics:read').get('/metrics')).body
  const count = (metrics: string, series: string): number => {
    const line = metrics.split('\n').find((each) => each.startsWith(`${series} `))
    return line === undefined ? 0 : Number(line.slice(series.length + 1))
  }

  test('need an API key with the scope metrics:read', async () => {
    assert.equal((await app.anybody.get('/metrics')).statusCode, 401)
    assert.equal((await app.as('ada', { roles: ['admin'] }).get('/metrics')).statusCode, 401)
    assert.equal((await app.asService('users:read').get('/metrics')).statusCode, 403)
    const reply = await app.asService('metrics:read').get('/metrics')
    assert.equal(reply.statusCode, 200)
    assert.match(String(reply.headers['content-type']), /^text\/plain; version=/)
  })

  test('count every request by method, route pattern and status', async () => {
    const series = (method: string, route: string, status: number) =>
      `http_request_duration_seconds_count{method="${method}",route="${route}",status="${status}"}`
    const earlier = await text()
    await app.anybody.get('/public/pages/1')
    await app.anybody.get('/public/pages/2')
    await app.anybody.get('/auth/pages/1')
    await app.as('ada').get('/auth/pages/1')
    await app.anybody.get('/nowhere')
    const now = await text()
    for (const [name, growth] of [
      [series('GET', '/public/pages/:id', 200), 2],
      [series('GET', '/auth/pages/:id', 401), 1],
      [series('GET', '/auth/pages/:id', 200), 1],
      [series('ANY', 'none', 404), 1],
    ] as const)
      assert.equal(count(now, name) - count(earlier, name), growth, name)
    assert.match(
      now,
      /http_request_duration_seconds_bucket\{le="0.005",method="GET",route="\/public\/pages\/:id",status="200"\}/,
    )
  })

  test('show the pool, the token cache and the process', async () => {
    await app.as('ada').get('/auth/pages/1')
    const metrics = await text()
    for (const pattern of [
      /^quayside_database_connections\{state="open"\} [1-4]$/m,
      /^quayside_database_connections\{state="max"\} 4$/m,
      /^quayside_token_verifications_total\{cache="hit"\} \d+$/m,
      /^quayside_token_verifications_total\{cache="miss"\} [1-9]\d*$/m,
      /^quayside_token_cache_entries [1-9]\d*$/m,
      /^nodejs_eventloop_delay_seconds\{quantile="0.99"\} \S+$/m,
      /^process_resident_memory_bytes \d{7,}$/m,
      /^process_cpu_seconds_total \d/m,
    ])
      assert.match(metrics, pattern)
  })

  test('do not grow with what clients make up', async () => {
    const names = (metrics: string): string[] =>
      metrics
        .split('\n')
        .filter((line) => !line.startsWith('#'))
        .map((line) => line.slice(0, line.lastIndexOf(' ')))
    const odd = async (from: number, to: number): Promise<void> => {
      for (let round = from; round < to; round++) {
        const headers = {
          'user-agent': `agent-${round}`,
          accept: `text/x-${round}`,
          'accept-version': `${round}.0.0`,
          'x-request-id': `id-${round}`,
          'x-app-version': String(round),
          'content-type': `application/x-${round}`,
          authorization: `Bearer ${round}`,
          host: `h${round}.test`,
        }
        await app.anybody.get(`/made-up/${round}?x=${round}`, headers)
        await app.anybody.get(`/public/pages/${round}`, headers)
        await app.anybody.get(`/auth/pages/${round}`, headers)
        await app.anybody.post(`/public/pages/${round}`, undefined, headers)
        await app.app.http.inject({
          method: round % 2 ? 'OPTIONS' : 'PUT',
          url: `/x-${round}`,
          headers,
        })
      }
    }
    await odd(0, 20)
    const few = names(await text())
    await odd(20, 220)
    assert.deepEqual(names(await text()), few)
    assert.ok(!few.some((name) => /made-up|agent-|h1\.test/.test(name)))
  })
})
