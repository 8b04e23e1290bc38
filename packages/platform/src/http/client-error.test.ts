import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from 'typebox'
import { defineFeature } from '../feature.ts'
import { createTestApp, type TestApp } from '../testing/index.ts'
import { publicAccess } from './access.ts'
import { listen, sendRaw } from './testing/raw-http.ts'

const accepting = defineFeature({
  name: 'accepting',
  setup: () => ({
    routes(app) {
      const config = { access: publicAccess() }
      const schema = { body: Type.Object({}), response: { 200: Type.Object({}) } }
      app.post('/public/accept', { config, schema }, async () => ({}))
    },
  }),
})

describe('clients that do not finish, or do not speak HTTP', () => {
  let app: TestApp
  let port: number
  before(async () => {
    app = await createTestApp([accepting], {
      http: { headersTimeoutMs: 200, requestTimeoutMs: 400, bodyBytesMax: 1000 },
    })
    port = await listen(app.app.http)
  })
  after(async () => app.close())

  const head = 'POST /public/accept HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/json\r\n'
  const table: readonly [string, string, number, string][] = [
    ['headers that never end', head, 408, 'request_timeout'],
    ['a body that never ends', `${head}Content-Length: 10\r\n\r\n{`, 408, 'request_timeout'],
    [
      'a chunked body that never ends',
      `${head}Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`,
      408,
      'request_timeout',
    ],
    [
      'too many bytes of headers',
      `${head}X: ${'x'.repeat(20_000)}\r\n\r\n`,
      431,
      'headers_too_large',
    ],
    ['too many headers', `${head}${'X: 1\r\n'.repeat(4_000)}\r\n`, 431, 'headers_too_large'],
    [
      'a chunk extension without end',
      `${head}Transfer-Encoding: chunked\r\n\r\n1;${'x'.repeat(20_000)}`,
      413,
      'body_too_large',
    ],
    ['no HTTP at all', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400, 'invalid_request'],
    ['a start line of garbage', 'hello\r\n\r\n', 400, 'invalid_request'],
  ]
  for (const [name, bytes, status, code] of table)
    test(`${name}: ${status} ${code} as a problem document, and the connection is closed`, async () => {
      const replies = await sendRaw(port, bytes)
      assert.equal(replies.length, 1)
      const [reply] = replies
      assert.equal(reply?.status, status)
      assert.equal(reply.headers['content-type'], 'application/problem+json; charset=utf-8')
      assert.equal(reply.headers['connection'], 'close')
      assert.equal(reply.headers['cache-control'], 'no-store')
      const problem = reply.json()
      assert.deepEqual([problem['status'], problem['code']], [status, code])
      assert.equal(problem['requestId'], reply.headers['x-request-id'])
    })

  test('a body announced too large is refused before it is sent', async () => {
    const [reply] = await sendRaw(port, `${head}Content-Length: 1000000000\r\n\r\n`)
    assert.equal(reply?.status, 413)
  })

  test('a chunked body that grows too large is refused before it ends', async () => {
    const [reply] = await sendRaw(
      port,
      `${head}Transfer-Encoding: chunked\r\n\r\n7d0\r\n${' '.repeat(2000)}\r\n`,
    )
    assert.equal(reply?.status, 413)
  })

  test('a client that hangs up in the middle of its body is no fault of ours', async () => {
    const earlier = app.logged().length
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    socket.write(`${head}Content-Length: 10\r\n\r\n{`)
    await new Promise((resolve) => app.app.http.server.once('request', resolve))
    socket.destroy()
    const since = () => app.logged().slice(earlier)
    // The debug line of the refusal shows that the server has noticed.
    const deadline = performance.now() + 5_000
    while (!since().some((line) => line['msg'] === 'request refused')) {
      assert.ok(performance.now() < deadline, 'the server did not notice')
      await sleep(5)
    }
    assert.deepEqual(
      since().filter((line) => line['level'] === 'error'),
      [],
    )
  })

  test('after all of them the server still serves', async () => {
    assert.equal((await app.anybody.post('/public/accept', {})).statusCode, 200)
  })
})
