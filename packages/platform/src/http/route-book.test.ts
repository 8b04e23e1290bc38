import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { FastifySchema } from 'fastify'
import { Type } from 'typebox'
import { createApp, type QuaysideApp } from '../app.ts'
import { type App, defineFeature, type FeatureParts } from '../feature.ts'
import { defineLimitRule } from '../limits/limit-store.ts'
import { createMemoryLimitStore } from '../limits/memory-limit-store.ts'
import { createLogger } from '../log/logger.ts'
import { createFakeClock, createTestDatabase, type TestDatabase } from '../testing/index.ts'
import { type Access, publicAccess, serviceAccess, signedAccess, userAccess } from './access.ts'

const signed = signedAccess({ name: 'nobody', verify: () => undefined })
const schema = { response: { 200: Type.Object({}) } }

describe('what the server refuses to start with', () => {
  let database: TestDatabase
  before(async () => {
    database = await createTestDatabase()
  })
  after(async () => database.close())

  async function start(...features: readonly FeatureParts[]): Promise<QuaysideApp> {
    const clock = createFakeClock()
    const rule = { quota: 10, windowSeconds: 60 }
    const store = createMemoryLimitStore({ clock })
    return createApp({
      version: '0.0.0-test',
      features: features.map((parts, index) =>
        defineFeature({ name: `f${index}`, setup: () => parts }),
      ),
      database,
      clock,
      log: await createLogger({
        level: 'silent',
        format: 'json',
        redactSensitive: true,
        destination: { write: () => {} },
      }),
      verifiers: [],
      limits: {
        user: defineLimitRule({ name: 'user', ...rule }),
        address: defineLimitRule({ name: 'address', ...rule }),
        general: store,
        exact: store,
      },
      http: {
        trustedProxies: [],
        clientOrigins: [],
        bodyBytesMax: 1000,
        headersTimeoutMs: 1000,
        requestTimeoutMs: 1000,
        idleTimeoutMs: 1000,
      },
    })
  }

  const startWith = (routes: (app: App) => void): Promise<QuaysideApp> => start({ routes })

  const refused: readonly [string, (app: App) => void, RegExp][] = [
    [
      'a route without access',
      (app) => app.get('/auth/x', { schema }, () => ({})),
      /GET \/auth\/x declares no access/,
    ],
    [
      'a route with a config but no access',
      (app) => app.get('/auth/x', { config: {}, schema }, () => ({})),
      /declares no access/,
    ],
    [
      'a route without a schema',
      (app) => app.get('/auth/x', { config: { access: userAccess() } }, () => ({})),
      /declares no response schema/,
    ],
    [
      'a route with an empty response schema',
      (app) =>
        app.post(
          '/auth/x',
          { config: { access: userAccess() }, schema: { response: {} } },
          () => ({}),
        ),
      /declares no response schema/,
    ],
    [
      'a route for two methods',
      (app) =>
        app.route({
          method: ['GET', 'POST'],
          url: '/auth/x',
          config: { access: userAccess() },
          schema,
          handler: () => ({}),
        }),
      /GET and POST \/auth\/x are two routes/,
    ],
    [
      'a route for every method',
      (app) => app.all('/auth/x', { config: { access: userAccess() }, schema }, () => ({})),
      /are two routes/,
    ],
    [
      'a route in a nested scope without access',
      (app) =>
        void app.register(async (scope) => void scope.get('/auth/x', { schema }, () => ({}))),
      /declares no access/,
    ],
  ]
  for (const [name, routes, message] of refused)
    test(name, async () => {
      await assert.rejects(startWith(routes), message)
    })

  const misplaced: readonly [string, Access][] = [
    ['/auth/x', publicAccess()],
    ['/auth/x', serviceAccess('x:read')],
    ['/auth/x', signed],
    ['/auth/v1x', publicAccess()],
    ['/internal/x', userAccess()],
    ['/internal/x', publicAccess()],
    ['/internal/x', signed],
    ['/public/x', userAccess()],
    ['/public/x', serviceAccess('x:read')],
    ['/x', publicAccess()],
    ['/', publicAccess()],
    ['/authx', userAccess()],
    ['/Auth/x', userAccess()],
    ['//auth/x', userAccess()],
    ['/healthy', publicAccess()],
    ['*', publicAccess()],
  ]
  for (const [path, access] of misplaced)
    test(`${access.kind} access under ${path}`, async () => {
      await assert.rejects(
        startWith((app) => app.get(path, { config: { access }, schema }, () => ({}))),
        /must begin with|is for/,
      )
    })

  test('two features that say who the users are', async () => {
    const users = { resolve: async () => 'x', exists: async () => true }
    await assert.rejects(start({ users }, { users }), /Two features/)
  })

  const welcome: readonly [string, Access, string][] = [
    ['/auth/x', userAccess(), 'user'],
    ['/auth/x', userAccess({ roles: ['admin', 'editor'] }), 'user role:admin|editor'],
    ['/internal/x', serviceAccess('users:read', 'users:write'), 'service users:read users:write'],
    ['/public/x', publicAccess(), 'public'],
    ['/public/x', signed, 'signed nobody'],
    ['/auth/v1/x', publicAccess(), 'public'],
    ['/storage/v1/x', serviceAccess('storage:admin'), 'service storage:admin'],
    ['/session', publicAccess(), 'public'],
  ]
  for (const [path, access, described] of welcome)
    test(`but ${access.kind} access under ${path} starts, and is listed as ${described}`, async () => {
      const app = await startWith((each) =>
        each.get(path, { config: { access }, schema }, () => ({})),
      )
      assert.deepEqual(
        app.routes.filter((line) => line.path === path),
        [{ method: 'GET', path, access: described }],
      )
      await app.close()
    })

  test('the route list is sorted by path and names every route once', async () => {
    const app = await start({
      routes: (each) => {
        each.post('/auth/b', { config: { access: userAccess() }, schema }, () => ({}))
        each.get('/auth/b', { config: { access: userAccess() }, schema }, () => ({}))
        each.get('/auth/a', { config: { access: userAccess() }, schema }, () => ({}))
      },
    })
    assert.deepEqual(
      app.routes.map(({ method, path, access }) => `${method} ${path} ${access}`),
      [
        'GET /auth/a user',
        'GET /auth/b user',
        'POST /auth/b user',
        'GET /docs public',
        'GET /docs/reference.js public',
        'GET /health/live public',
        'GET /health/ready public',
        'GET /metrics service metrics:read',
        'GET /openapi.json public',
      ],
    )
    await app.close()
  })

  test('what a route does not declare of its reply is an error, and nothing of it leaves', async () => {
    const app = await startWith((each) => {
      const open: FastifySchema = { response: { 200: Type.Object({ a: Type.String() }) } }
      const config = { access: publicAccess() }
      each.get('/public/declared', { config, schema: open }, () => ({ a: 'x', secret: 'canary' }))
      each.get('/public/undeclared', { config, schema: open }, (_request, reply) =>
        reply.status(202).send({ a: 'x', secret: 'canary' }),
      )
      each.get('/public/list', { config, schema: open }, (_request, reply) =>
        reply.status(203).send([{ secret: 'canary' }]),
      )
    })
    assert.equal((await app.http.inject('/public/declared')).body, '{"a":"x"}')
    for (const path of ['/public/undeclared', '/public/list']) {
      const reply = await app.http.inject(path)
      assert.equal(reply.statusCode, 500)
      assert.ok(!reply.body.includes('canary'))
    }
    await app.close()
  })
})
