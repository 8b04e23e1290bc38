import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Type } from 'typebox'
import { AppError, commonErrors } from '../errors.ts'
import { defineFeature } from '../feature.ts'
import { createTestApp, type TestApp, type TestReply } from '../testing/index.ts'
import { publicAccess } from './access.ts'

const canary = 'sesame-4711'

/** What a handler may throw by accident; none of it is meant for the caller. */
const bugs: Readonly<Record<string, () => unknown>> = {
  error: () => new Error(canary),
  'type-error': () => new TypeError(canary, { cause: new Error(canary) }),
  string: () => canary,
  undefined: () => undefined,
  null: () => null,
  number: () => 4711,
  object: () => ({ statusCode: 418, message: canary, [canary]: true }),
  status: () => Object.assign(new Error(canary), { statusCode: 404, code: 'NOT_FOUND' }),
  validation: () => Object.assign(new Error(canary), { validation: [{ message: canary }] }),
  aggregate: () => new AggregateError([new Error(canary)], canary),
  frozen: () => Object.freeze(new Error(canary)),
  circular: () => {
    const error = new Error(canary)
    error.cause = error
    return error
  },
  fault: () =>
    new AppError('internal', 500, 'Something went wrong on our side.', { cause: canary }),
}

const throwing = defineFeature({
  name: 'throwing',
  setup: ({ sql }) => ({
    routes(app) {
      const config = { access: publicAccess() }
      const response = { 200: Type.Object({}) }
      const params = Type.Object({ what: Type.String() })
      app.get('/public/async/:what', { config, schema: { params, response } }, async (request) => {
        throw bugs[request.params.what]?.()
      })
      app.get('/public/sync/:what', { config, schema: { params, response } }, (request) => {
        throw bugs[request.params.what]?.()
      })
      app.get('/public/postgres', { config, schema: { response } }, async () => {
        await sql`select 1 / (length(${canary}) - ${canary.length})`
        return {}
      })
      app.get('/public/down', { config, schema: { response } }, async () => {
        throw Object.assign(new Error(canary), { code: '57P01' })
      })
      app.get('/public/refused', { config, schema: { response } }, async (_request, reply) => {
        reply.status(200).header('etag', '"1"').header('location', '/1')
        throw new AppError('tea_missing', 409, 'There is no tea.', {
          cause: new Error(canary),
          headers: { 'Retry-After': '7' },
          extra: { kettle: 'empty' },
        })
      })
      app.get('/public/busy', { config, schema: { response } }, async () => {
        throw commonErrors.unavailable({ headers: { 'Retry-After': '9' } })
      })
      const body = Type.Object(
        {
          name: Type.String({ maxLength: 3 }),
          kind: Type.Optional(Type.Union([Type.Literal('a'), Type.Literal('b')])),
          nested: Type.Optional(
            Type.Object({ count: Type.Integer() }, { additionalProperties: false }),
          ),
        },
        { additionalProperties: false },
      )
      app.post('/public/things', { config, schema: { body, response } }, async () => ({}))
      app.get('/public/things/:what', { config, schema: { params, response } }, async () => ({}))
      app.delete('/public/things/:what', { config, schema: { params, response } }, async () => ({}))
    },
  }),
})

function assertProblem(reply: TestReply, status: number, code: string): Record<string, unknown> {
  assert.equal(reply.headers['content-type'], 'application/problem+json; charset=utf-8')
  const problem = reply.json<Record<string, unknown>>()
  assert.deepEqual(
    { status: reply.statusCode, inBody: problem['status'], code: problem['code'] },
    { status, inBody: status, code },
  )
  assert.equal(problem['type'], 'about:blank')
  assert.equal(problem['requestId'], reply.headers['x-request-id'])
  assert.equal(typeof problem['title'], 'string')
  assert.equal(typeof problem['detail'], 'string')
  return problem
}

describe('errors over HTTP', () => {
  let app: TestApp
  before(async () => {
    app = await createTestApp([throwing], { http: { bodyBytesMax: 1000 } })
  })
  after(async () => app.close())

  const errorLines = (requestId: unknown) =>
    app.logged().filter((line) => line['level'] === 'error' && line['requestId'] === requestId)

  for (const kind of ['async', 'sync'])
    for (const what of Object.keys(bugs))
      test(`${what} thrown by a handler (${kind}) answers 500, tells nothing, and is logged once`, async () => {
        const reply = await app.anybody.get(`/public/${kind}/${what}`)
        const problem = assertProblem(reply, 500, 'internal')
        assert.deepEqual(Object.keys(problem).toSorted(), [
          'code',
          'detail',
          'requestId',
          'status',
          'title',
          'type',
        ])
        assert.ok(!reply.body.includes(canary))
        assert.ok(!JSON.stringify(reply.headers).includes(canary))
        assert.equal(errorLines(problem['requestId']).length, 1)
      })

  test('an error of PostgreSQL answers 500 without its text and is logged with it', async () => {
    const reply = await app.anybody.get('/public/postgres')
    const problem = assertProblem(reply, 500, 'internal')
    assert.doesNotMatch(reply.body, /division|22012|select/)
    const [line, ...more] = errorLines(problem['requestId'])
    assert.match(JSON.stringify(line), /division by zero/)
    assert.deepEqual(more, [])
  })

  test('a database that is down answers 503 with Retry-After and without its text', async () => {
    const reply = await app.anybody.get('/public/down')
    assertProblem(reply, 503, 'unavailable')
    assert.equal(reply.headers['retry-after'], '1')
    assert.ok(!reply.body.includes(canary))
  })

  test('an error that names its own Retry-After keeps it', async () => {
    const reply = await app.anybody.get('/public/busy')
    assertProblem(reply, 503, 'unavailable')
    assert.equal(reply.headers['retry-after'], '9')
  })

  test('a refusal shows its code, sentence, headers and public members, never its cause', async () => {
    const reply = await app.anybody.get('/public/refused')
    const problem = assertProblem(reply, 409, 'tea_missing')
    assert.equal(problem['detail'], 'There is no tea.')
    assert.equal(problem['title'], 'Conflict')
    assert.equal(problem['kettle'], 'empty')
    assert.equal(reply.headers['retry-after'], '7')
    assert.ok(!reply.body.includes(canary))
    assert.deepEqual(errorLines(problem['requestId']), [])
  })

  test('what a handler said of its result before it failed is not sent', async () => {
    const { headers } = await app.anybody.get('/public/refused')
    assert.equal(headers['etag'], undefined)
    assert.equal(headers['location'], undefined)
    assert.equal(headers['cache-control'], 'no-store')
  })

  const refusals: readonly [string, () => Promise<TestReply>, number, string][] = [
    ['an unknown path', () => app.anybody.get('/public/nothing'), 404, 'not_found'],
    ['the root', () => app.anybody.get('/'), 404, 'not_found'],
    ['an unknown path outside every prefix', () => app.anybody.post('/x/y', {}), 404, 'not_found'],
    [
      'a body too large',
      () => app.anybody.post('/public/things', { name: 'x'.repeat(1000) }),
      413,
      'body_too_large',
    ],
    [
      'another media type',
      () => app.anybody.post('/public/things', 'a', { 'content-type': 'text/plain' }),
      415,
      'unsupported_media_type',
    ],
    [
      'no JSON',
      () => app.anybody.post('/public/things', '{"name":', { 'content-type': 'application/json' }),
      400,
      'malformed_json',
    ],
    [
      'an empty body',
      () => app.anybody.post('/public/things', '', { 'content-type': 'application/json' }),
      400,
      'malformed_json',
    ],
    ['no body at all', () => app.anybody.post('/public/things'), 400, 'invalid_request'],
    ['an escape that is none', () => app.anybody.get('/public/things/%zz'), 400, 'invalid_request'],
    [
      'an escape that is no UTF-8',
      () => app.anybody.get('/public/things/%ff'),
      400,
      'invalid_request',
    ],
    [
      'an escape in the query that is none',
      () => app.anybody.get('/public/things/1?x=%zz'),
      400,
      'invalid_request',
    ],
    [
      'an address too long',
      () => app.anybody.get(`/public/${'x'.repeat(8200)}`),
      414,
      'uri_too_long',
    ],
    [
      'a parameter too long',
      () => app.anybody.get(`/public/things/${'x'.repeat(8200)}`),
      414,
      'uri_too_long',
    ],
  ]
  for (const [name, send, status, code] of refusals)
    test(`${name} answers ${status} ${code} as a problem document`, async () => {
      const reply = await send()
      const problem = assertProblem(reply, status, code)
      assert.equal(reply.headers['x-content-type-options'], 'nosniff')
      assert.deepEqual(errorLines(problem['requestId']), [])
      const lines = app
        .logged()
        .filter((line) => line['msg'] === 'request' && line['requestId'] === problem['requestId'])
      assert.equal(lines.length, 1)
    })

  const methods: readonly [string, 'get' | 'post' | 'put' | 'patch' | 'delete', string][] = [
    ['/public/things', 'get', 'POST'],
    ['/public/things', 'delete', 'POST'],
    ['/public/things/1', 'post', 'GET, HEAD, DELETE'],
    ['/public/things/1?x=1', 'put', 'GET, HEAD, DELETE'],
    ['/public/th%69ngs/1', 'patch', 'GET, HEAD, DELETE'],
    ['/health/live', 'post', 'GET, HEAD'],
  ]
  for (const [url, method, allow] of methods)
    test(`${method.toUpperCase()} ${url} answers 405 and allows exactly ${allow}`, async () => {
      const reply = await app.anybody[method](url)
      assertProblem(reply, 405, 'method_not_allowed')
      assert.equal(reply.headers['allow'], allow)
    })

  test('a path that only looks like one of ours answers 404, not 405', async () => {
    for (const url of ['/health/live;x=1', '/health/live/', '/Health/live', '/health//live'])
      assertProblem(await app.anybody.get(url), 404, 'not_found')
  })

  const invalid: readonly [string, object, string][] = [
    ['a value too long', { name: canary }, 'body/name'],
    ['a value of the wrong type', { name: [canary] }, 'body/name'],
    ['a value outside the list', { name: 'x', kind: canary }, 'body/kind'],
    ['a nested value', { name: 'x', nested: { count: canary } }, 'body/nested/count'],
    ['a missing member', { kind: 'a' }, 'body/name'],
    ['an unknown member', { name: 'x', extra: canary }, 'body/extra'],
    [
      'an unknown nested member',
      { name: 'x', nested: { count: 1, more: canary } },
      'body/nested/more',
    ],
    ['a list instead of an object', [canary], 'body'],
  ]
  for (const [name, body, path] of invalid)
    test(`${name} is named by its path and never repeated`, async () => {
      const reply = await app.anybody.post('/public/things', body)
      const problem = assertProblem(reply, 400, 'invalid_request')
      const issues = problem['issues'] as { path: string; message: string }[]
      assert.equal(issues[0]?.path, path)
      assert.ok(issues[0].message.length > 0)
      assert.ok(!reply.body.includes(canary))
    })
})
