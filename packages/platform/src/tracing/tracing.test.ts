import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import { incoming, startTracing } from './testing/tracing-fixture.ts'
import { createTracing } from './tracing.ts'

const remote = {
  traceId: '0af7651916cd43dd8448eb211c80319c',
  spanId: 'b7ad6b7169203331',
}
const traceparent = `00-${remote.traceId}-${remote.spanId}-01`

test('a request becomes a server span named by its route, and closing delivers it', async () => {
  const { tracing, collector, logged, finish } = await startTracing()
  const span = tracing.startRequest(incoming({ target: '/auth/orders/7?token=s3cr3t' }))
  span.end({ route: '/auth/orders/:id', status: 200, userId: 'u-1' })
  span.end({ route: '/other', status: 500 })
  const [received, ...others] = await finish()

  assert.deepEqual(others, [])
  assert.equal(received?.name, 'GET /auth/orders/:id')
  assert.equal(received.kind, 2)
  assert.equal(received.traceId, span.traceId)
  assert.equal(received.parentSpanId, undefined)
  assert.equal(received.statusCode, 0)
  assert.deepEqual(received.attributes, {
    'http.request.method': 'GET',
    'url.scheme': 'http',
    'url.path': '/auth/orders/7',
    'http.route': '/auth/orders/:id',
    'http.response.status_code': 200,
    'user.id': 'u-1',
  })
  assert.equal(received.resource['service.name'], 'quayside-test')
  assert.equal(received.resource['service.version'], '1.2.3')
  assert.deepEqual(collector.paths, ['POST /v1/traces'])
  assert.deepEqual(logged(), [])
})

test('how a request ended decides whether its span failed', async () => {
  const table = [
    { outcome: { route: '/a', status: 404 }, statusCode: 0, type: undefined },
    { outcome: { route: '/a', status: 500 }, statusCode: 2, type: '500' },
    { outcome: { route: '/a', status: 503 }, statusCode: 2, type: '503' },
    { outcome: { route: '/a', status: undefined }, statusCode: 2, type: 'client_closed_request' },
  ]
  const { tracing, finish } = await startTracing()
  for (const { outcome } of table) tracing.startRequest(incoming()).end(outcome)
  const spans = await finish()
  assert.deepEqual(
    spans.map(({ statusCode, attributes }) => [statusCode, attributes['error.type']]),
    table.map(({ statusCode, type }) => [statusCode, type]),
  )
})

test('requests without a route or with a made-up method do not each get a name', async () => {
  const { tracing, finish } = await startTracing()
  tracing.startRequest(incoming({ target: '/x1/s3cr3t' })).end({ route: undefined, status: 404 })
  tracing.startRequest(incoming({ method: 'S3CR3T' })).end({ route: '/a', status: 405 })
  const [unrouted, madeUp] = await finish()
  assert.equal(unrouted?.name, 'GET')
  assert.equal(madeUp?.name, 'HTTP /a')
  assert.equal(madeUp.attributes['http.request.method'], '_OTHER')
})

test('the trace of a caller is continued, a malformed one is not', async () => {
  const { tracing, finish } = await startTracing()
  const end = { route: '/a', status: 200 }
  tracing.startRequest(incoming({ traceparent, tracestate: 'rojo=1,congo=t61' })).end(end)
  tracing.startRequest(incoming({ traceparent: `${traceparent}-x` })).end(end)
  tracing.startRequest(incoming({ tracestate: 'rojo=1' })).end(end)
  const [continued, malformed, stateOnly] = await finish()

  assert.equal(continued?.traceId, remote.traceId)
  assert.equal(continued.parentSpanId, remote.spanId)
  assert.equal(continued.traceState, 'rojo=1,congo=t61')
  for (const fresh of [malformed, stateOnly]) {
    assert.notEqual(fresh?.traceId, remote.traceId)
    assert.equal(fresh?.parentSpanId, undefined)
    assert.equal(fresh?.traceState, undefined)
  }
})

test('a caller that does not record its trace is not recorded, but followed', async () => {
  const { tracing, finish } = await startTracing()
  const span = tracing.startRequest(incoming({ traceparent: traceparent.replace(/1$/, '0') }))
  let sent: Headers | undefined
  const fetch = tracing.wrapFetch(async (_input, init) => {
    sent = new Headers(init?.headers)
    return new Response()
  })
  await span.run(() => fetch('https://api.example.com/'))
  span.end({ route: '/a', status: 200 })
  assert.deepEqual(await finish(), [])
  assert.match(sent?.get('traceparent') ?? '', new RegExp(`^00-${remote.traceId}-[0-9a-f]{16}-00$`))
})

test('a query is a child of the request in which it runs, whatever runs beside it', async () => {
  const { tracing, finish } = await startTracing()
  const query = (text: string) =>
    tracing.runQuery(
      () => text,
      async () => text,
    )
  const one = tracing.startRequest(incoming())
  const two = tracing.startRequest(incoming())
  const results = await Promise.all([
    one.run(async () => {
      await Promise.resolve()
      return query('select a from one where id = $1')
    }),
    two.run(() => query('select b from two')),
    query('select c from three'),
  ])
  for (const span of [one, two]) span.end({ route: '/a', status: 200 })
  const spans = await finish()
  const named = (name: string) => spans.find((span) => span.name === name)

  assert.deepEqual(results, [
    'select a from one where id = $1',
    'select b from two',
    'select c from three',
  ])
  assert.equal(named('SELECT one')?.traceId, one.traceId)
  assert.equal(named('SELECT two')?.traceId, two.traceId)
  assert.equal(named('SELECT three')?.parentSpanId, undefined)
  const parent = spans.find(({ kind, traceId }) => kind === 2 && traceId === one.traceId)
  assert.equal(named('SELECT one')?.parentSpanId, parent?.spanId)
  assert.equal(named('SELECT one')?.kind, 3)
  assert.deepEqual(named('SELECT one')?.attributes, {
    'db.system.name': 'postgresql',
    'db.query.text': 'select a from one where id = $1',
    'db.query.summary': 'SELECT one',
  })
})

test('a failed query gives its error on and shows only the code of it', async () => {
  const conflict = Object.assign(new Error('Key (email)=(ada@example.com) exists'), {
    code: '23505',
  })
  const refused = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })
  const { tracing, finish } = await startTracing()
  for (const error of [conflict, refused, new RangeError('s3cr3t')]) {
    const failing = tracing.runQuery(
      () => 'select 1',
      async () => {
        throw error
      },
    )
    await assert.rejects(failing, (thrown) => thrown === error)
  }
  const spans = await finish()
  assert.deepEqual(
    spans.map(({ statusCode, attributes }) => [
      statusCode,
      attributes['error.type'],
      attributes['db.response.status_code'],
    ]),
    [
      [2, '23505', '23505'],
      [2, 'ECONNREFUSED', undefined],
      [2, 'RangeError', undefined],
    ],
  )
})

test('an outbound request carries the trace and keeps what the caller gave', async () => {
  const { tracing, finish } = await startTracing()
  const sent: { input: unknown; init: RequestInit | undefined }[] = []
  const fetch = tracing.wrapFetch(async (input, init) => {
    sent.push({ input, init })
    return new Response('hello', { status: sent.length === 1 ? 201 : 429 })
  })
  const span = tracing.startRequest(incoming({ traceparent, tracestate: 'rojo=1' }))
  const headers = { 'x-api-key': 'k' }
  const first = await span.run(() =>
    fetch('https://api.example.com/v1/send', { method: 'post', headers, body: 'b' }),
  )
  const request = new Request('http://localhost:9090/a', { headers: { 'x-of-request': 'r' } })
  await span.run(() => fetch(request))
  span.end({ route: '/a', status: 200 })
  const spans = await finish()
  const [one, two] = spans

  assert.equal(await first.text(), 'hello')
  assert.deepEqual(headers, { 'x-api-key': 'k' })
  const sentHeaders = sent.map(({ init }) => new Headers(init?.headers))
  assert.equal(sent[0]?.input, 'https://api.example.com/v1/send')
  assert.equal(sent[0].init?.method, 'post')
  assert.equal(sent[0].init.body, 'b')
  assert.equal(sentHeaders[0]?.get('x-api-key'), 'k')
  assert.equal(sentHeaders[0].get('traceparent'), `00-${remote.traceId}-${one?.spanId}-01`)
  assert.equal(sentHeaders[0].get('tracestate'), 'rojo=1')
  assert.equal(sentHeaders[1]?.get('x-of-request'), 'r')

  const server = spans.find(({ kind }) => kind === 2)
  assert.equal(one?.parentSpanId, server?.spanId)
  assert.equal(one?.name, 'POST')
  assert.equal(one.kind, 3)
  assert.equal(one.statusCode, 0)
  assert.deepEqual(one.attributes, {
    'http.request.method': 'POST',
    'server.address': 'api.example.com',
    'server.port': 443,
    'url.full': 'https://api.example.com/v1/send',
    'http.response.status_code': 201,
  })
  assert.equal(two?.statusCode, 2)
  assert.equal(two.attributes['error.type'], '429')
  assert.equal(two.attributes['server.port'], 9090)
})

test('an outbound request that fails gives its error on, and no address is invented', async () => {
  const { tracing, finish } = await startTracing()
  const cause = Object.assign(new Error('s3cr3t.example.com'), { code: 'ENOTFOUND' })
  const failure = new TypeError('fetch failed', { cause })
  const fetch = tracing.wrapFetch(async () => {
    throw failure
  })
  await assert.rejects(fetch('https://s3.example.com/'), (thrown) => thrown === failure)
  await assert.rejects(fetch('no address'), (thrown) => thrown === failure)
  const spans = await finish()
  assert.deepEqual(
    spans.map(({ statusCode, attributes }) => [statusCode, attributes['error.type']]),
    [[2, 'ENOTFOUND']],
  )
})

test('no secret reaches the collector, in whatever place it is put', async () => {
  const canaries = ['c4n4ry-S3cret+7/Zz=', 'ada.canary@example.com', 'sk_live_c4n4ryKey0123456789']
  const { tracing, collector, logged, finish } = await startTracing()
  for (const canary of canaries) {
    const escaped = encodeURIComponent(canary)
    const span = tracing.startRequest(
      incoming({
        target: `/auth/users/${escaped}/x?token=${escaped}#${canary}`,
        method: canary,
        traceparent: `00-${remote.traceId}-${remote.spanId}-01-${canary}`,
      }),
    )
    await span.run(async () => {
      const error = Object.assign(new Error(canary), { detail: canary, code: canary })
      const failing = tracing.runQuery(
        () => `select '${canary}', $$${canary}$$ -- ${canary}\n from t where a = $1`,
        async () => {
          throw error
        },
      )
      await assert.rejects(failing)
      const fetch = tracing.wrapFetch(async () => {
        throw error
      })
      const url = `https://${escaped}:${escaped}@api.example.com/${escaped}?a=${escaped}`
      await assert.rejects(fetch(url, { method: canary, headers: { authorization: canary } }))
    })
    span.end({ route: '/auth/users/:sub/x', status: 500 })
  }
  const bearer = `Bearer ${canaries[2]}`
  const tracestate = `vendor=${canaries[2]}`
  tracing
    .startRequest(incoming({ traceparent, tracestate, target: `/${bearer}` }))
    .end({ route: undefined, status: 404 })

  assert.equal((await finish()).length, canaries.length * 3 + 1)
  const everything = collector.bodies.join('\n') + JSON.stringify(logged())
  for (const canary of canaries)
    for (const form of [
      canary,
      canary.toUpperCase(),
      encodeURIComponent(canary),
      Buffer.from(canary).toString('base64').slice(0, -4),
      JSON.stringify(canary).slice(1, -1),
      canary.slice(0, 12),
    ])
      assert.ok(!everything.includes(form), form)
})

test('a failing collector is logged when it begins and when it ends, not in between', async () => {
  const { tracing, collector, logged, finish } = await startTracing({ batchDelayMs: 1 })
  const deliver = async (batch: number) => {
    tracing.startRequest(incoming()).end({ route: '/a', status: 200 })
    await collector.batches(batch)
  }
  collector.answer(500)
  for (const batch of [1, 2, 3]) await deliver(batch)
  collector.answer(200)
  for (const batch of [4, 5]) await deliver(batch)
  collector.answer(400)
  await deliver(6)
  await finish()
  const warning = { level: 40, collector: collector.url, msg: 'traces cannot be delivered' }
  assert.deepEqual(logged(), [
    { ...warning, reason: '500' },
    { level: 30, collector: collector.url, msg: 'traces are delivered again' },
    { ...warning, reason: '400' },
  ])
})

test('requests and closing do not wait for a collector that is not there', async () => {
  const { tracing, collector, logged } = await startTracing({ exportTimeoutMs: 200 })
  await collector.close()
  const span = tracing.startRequest(incoming())
  const answer = await span.run(() =>
    tracing.runQuery(
      () => 'select 1',
      async () => 1,
    ),
  )
  span.end({ route: '/a', status: 200 })
  assert.equal(answer, 1)
  await tracing.close()
  await tracing.close()
  assert.deepEqual(
    logged().map(({ msg, reason }) => [msg, reason]),
    [['traces cannot be delivered', 'ECONNREFUSED']],
  )
})

test('closing gives up on a collector that accepts everything and answers nothing', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  for (const isUnderWay of [true, false]) {
    const { tracing, collector, logged } = await startTracing({ batchDelayMs: 10 })
    collector.answer('hold')
    tracing.startRequest(incoming()).end({ route: '/a', status: 200 })
    if (isUnderWay) {
      t.mock.timers.tick(10)
      await collector.batches(1)
    }
    const closed = tracing.close()
    await collector.batches(1)
    t.mock.timers.tick(1999)
    const state = () => Promise.race([closed.then(() => 'closed'), nextTurn()])
    assert.equal(await state(), 'waiting')
    t.mock.timers.tick(1)
    assert.equal(await state(), 'closed')
    assert.deepEqual(
      logged().map(({ reason }) => reason),
      ['The collector did not answer in time.'],
    )
    collector.release()
    await collector.close()
  }
})

test('more spans than the queue holds are dropped, and none of them fails', async () => {
  const { tracing, collector, finish } = await startTracing()
  collector.answer('hold')
  for (let index = 0; index < 4000; index++)
    tracing.startRequest(incoming()).end({ route: '/a', status: 200 })
  await collector.batches(1)
  collector.answer(200)
  collector.release()
  // One batch on its way and a full queue behind it.
  assert.equal((await finish()).length, 512 + 2048)
})

test('spans that end after closing are dropped in silence', async () => {
  const { tracing, logged, finish } = await startTracing()
  const span = tracing.startRequest(incoming())
  assert.deepEqual(await finish(), [])
  span.end({ route: '/a', status: 200 })
  tracing.startRequest(incoming()).end({ route: '/a', status: 200 })
  assert.deepEqual(logged(), [])
})

test('an endpoint that is no address is refused at start', async () => {
  const options = { serviceName: 'a', version: '1', log: pino({ enabled: false }) }
  await assert.rejects(
    createTracing({ ...options, endpoint: 'collector:4318' }),
    /OTEL_EXPORTER_OTLP_ENDPOINT/,
  )
})

function nextTurn(): Promise<string> {
  return new Promise((resolve) => setImmediate(resolve, 'waiting'))
}
