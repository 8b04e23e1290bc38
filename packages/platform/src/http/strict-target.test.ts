import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { Type } from 'typebox'
import { defineFeature } from '../feature.ts'
import { createTestApp, type TestApp } from '../testing/index.ts'
import { publicAccess } from './access.ts'
import { originForm } from './strict-target.ts'
import { listen, type RawReply, sendRaw } from './testing/raw-http.ts'

let hits: string[] = []

const counting = defineFeature({
  name: 'counting',
  setup: () => ({
    routes(app) {
      const config = { access: publicAccess() }
      const querystring = Type.Object({ n: Type.Optional(Type.String()) })
      const schema = { querystring, response: { 200: Type.Object({ path: Type.String() }) } }
      app.get('/public/hit', { config, schema }, async (request) => {
        hits.push(request.url)
        return { path: request.url }
      })
      app.post('/public/hit', { config, schema }, async (request) => {
        hits.push(request.url)
        return { path: request.url }
      })
    },
  }),
})

const close = 'Connection: close\r\n\r\n'

describe('request targets, Host and framing', () => {
  let app: TestApp
  let port: number
  before(async () => {
    app = await createTestApp([counting])
    port = await listen(app.app.http)
  })
  after(async () => app.close())
  beforeEach(() => {
    hits = []
  })

  const requestLines = () => app.logged().filter((line) => line['msg'] === 'request').length

  function assertRefused(replies: readonly RawReply[], code: string, status = 400): void {
    assert.equal(replies.length, 1)
    const [reply] = replies
    assert.equal(reply?.status, status)
    assert.equal(reply.headers['content-type'], 'application/problem+json; charset=utf-8')
    const problem = reply.json()
    assert.equal(problem['code'], code)
    assert.equal(problem['status'], status)
    assert.equal(problem['requestId'], reply.headers['x-request-id'])
    assert.deepEqual(hits, [])
  }

  const badHosts: readonly [string, string][] = [
    ['none', ''],
    ['an empty one', 'Host:\r\n'],
    ['a blank one', 'Host:  \r\n'],
    ['two equal ones', 'Host: a.test\r\nHost: a.test\r\n'],
    ['two different ones', 'Host: a.test\r\nhost: b.test\r\n'],
    ['two joined by a comma', 'Host: a.test, b.test\r\n'],
    ['one with a path', 'Host: a.test/x\r\n'],
    ['one with a query', 'Host: a.test?x\r\n'],
    ['one with a fragment', 'Host: a.test#x\r\n'],
    ['one with user info', 'Host: user@a.test\r\n'],
    ['one with a scheme', 'Host: http://a.test\r\n'],
    ['one with a backslash', 'Host: a.test\\b\r\n'],
    ['one with a space', 'Host: a.test b.test\r\n'],
    ['one with a tab', 'Host: a.test\tb.test\r\n'],
    ['one with a quote', "Host: a.test'\r\n"],
    ['one beyond ASCII', 'Host: \xe4.test\r\n'],
    ['one too long', `Host: ${'a'.repeat(254)}\r\n`],
    ['one with an empty port', 'Host: a.test:\r\n'],
    ['one with a port that is no number', 'Host: a.test:80x\r\n'],
    ['one with two ports', 'Host: a.test:80:80\r\n'],
    ['a broken IPv6 address', 'Host: [::1\r\n'],
    ['a dot', 'Host: .\r\n'],
  ]
  for (const [name, lines] of badHosts)
    test(`a request with a Host that is ${name} is refused`, async () => {
      assertRefused(
        await sendRaw(port, `GET /public/hit HTTP/1.1\r\n${lines}${close}`),
        'invalid_host',
      )
    })

  test('HTTP/1.0 without Host is refused too', async () => {
    assertRefused(await sendRaw(port, 'GET /public/hit HTTP/1.0\r\n\r\n'), 'invalid_host')
  })

  for (const host of ['a.test', 'A.Test:8080', '127.0.0.1', '[::1]:8080', 'localhost', 'a_b.test'])
    test(`Host ${host} is accepted`, async () => {
      const [reply] = await sendRaw(port, `GET /public/hit HTTP/1.1\r\nHost: ${host}\r\n${close}`)
      assert.equal(reply?.status, 200)
    })

  test('HTTP/1.0 with Host is served', async () => {
    const [reply] = await sendRaw(port, 'GET /public/hit HTTP/1.0\r\nHost: a.test\r\n\r\n')
    assert.equal(reply?.status, 200)
  })

  const badTargets: readonly [string, string][] = [
    ['GET *', 'GET *'],
    ['a target without a slash', 'GET public/hit'],
    ['an absolute form of another scheme', 'GET ftp://a.test/public/hit'],
    ['an absolute form with user info', 'GET http://user@a.test/public/hit'],
    ['an absolute form without a host', 'GET http:///public/hit'],
    ['an absolute form with a backslash', 'GET http://a.test\\/public/hit'],
    ['an escaped NUL in the path', 'GET /public/hit%00'],
    ['an escaped NUL in the query', 'GET /public/hit?n=%00'],
    ['an escaped NUL in the name of a query', 'GET /public/hit?%00=1'],
    ['an escaped surrogate', 'GET /public/hit?n=%ED%A0%80'],
    ['half an escape', 'GET /public/hit?n=%'],
    ['an overlong escape', 'GET /public/hit?n=%C0%AF'],
    ['a NUL', 'GET /public/hit?n=\0'],
    ['an absolute form with a bad escape', 'GET http://a.test/public/hit?n=%f'],
  ]
  for (const [name, start] of badTargets)
    test(`${name} is refused`, async () => {
      assertRefused(
        await sendRaw(port, `${start} HTTP/1.1\r\nHost: a.test\r\n${close}`),
        'invalid_request',
      )
    })

  for (const [target, path] of [
    ['http://a.test/public/hit?n=1', '/public/hit?n=1'],
    ['HTTP://A.test:80/public/hit', '/public/hit'],
    ['https://[::1]/public/hit', '/public/hit'],
  ])
    test(`the absolute form ${target} is routed like its path`, async () => {
      const [reply] = await sendRaw(port, `GET ${target} HTTP/1.1\r\nHost: a.test\r\n${close}`)
      assert.equal(reply?.status, 200)
      assert.deepEqual(hits, [path])
    })

  test('an absolute form without a path means the root', () => {
    assert.equal(originForm('http://a.test'), '/')
  })

  test('OPTIONS * reaches no route', async () => {
    const [reply] = await sendRaw(port, `OPTIONS * HTTP/1.1\r\nHost: a.test\r\n${close}`)
    assert.equal(reply?.status, 404)
  })

  for (const method of ['TRACE', 'PURGE', 'PROPFIND', 'OPTIONS'])
    test(`${method} answers 405 with Allow and repeats nothing of the request`, async () => {
      const [reply] = await sendRaw(
        port,
        `${method} /public/hit HTTP/1.1\r\nHost: a.test\r\nCookie: canary\r\n${close}`,
      )
      assert.equal(reply?.status, 405)
      assert.equal(reply.headers['allow'], 'GET, HEAD, POST')
      assert.ok(!reply.body.includes('canary'))
      assert.deepEqual(hits, [])
    })

  test('a method that HTTP does not know is refused', async () => {
    assertRefused(
      await sendRaw(port, `FOO /public/hit HTTP/1.1\r\nHost: a.test\r\n${close}`),
      'invalid_request',
    )
  })

  test('CONNECT opens no tunnel', async () => {
    assert.deepEqual(
      await sendRaw(port, `CONNECT a.test:80 HTTP/1.1\r\nHost: a.test\r\n${close}`),
      [],
    )
  })

  const inner = 'GET /public/hit?n=inner HTTP/1.1\r\nHost: a.test\r\n'
  const smuggled = `0\r\n\r\n${inner}${close}`
  const post = 'POST /public/hit HTTP/1.1\r\nHost: a.test\r\n'
  const framings: readonly [string, string][] = [
    [
      'Content-Length and Transfer-Encoding',
      `${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n${smuggled}`,
    ],
    [
      'Transfer-Encoding and Content-Length',
      `${post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n${smuggled}`,
    ],
    ['two different lengths', `${post}Content-Length: 5\r\nContent-Length: 6\r\n\r\n${smuggled}`],
    ['two equal lengths', `${post}Content-Length: 5\r\nContent-Length: 5\r\n\r\n${smuggled}`],
    ['two lengths in one line', `${post}Content-Length: 5, 5\r\n\r\n${smuggled}`],
    ['a negative length', `${post}Content-Length: -5\r\n\r\n${smuggled}`],
    ['a length with a sign', `${post}Content-Length: +5\r\n\r\n${smuggled}`],
    ['a length in hex', `${post}Content-Length: 0x5\r\n\r\n${smuggled}`],
    ['an unknown transfer encoding', `${post}Transfer-Encoding: xchunked\r\n\r\n${smuggled}`],
    [
      'chunked before the last encoding',
      `${post}Transfer-Encoding: chunked, identity\r\n\r\n${smuggled}`,
    ],
    ['chunked twice', `${post}Transfer-Encoding: chunked, chunked\r\n\r\n${smuggled}`],
    ['a space before the colon', `${post}Transfer-Encoding : chunked\r\n\r\n${smuggled}`],
    [
      'a folded header',
      `${post}Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\n${smuggled}`,
    ],
    [
      'a chunk size that is none',
      `${post}Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n${smuggled}`,
    ],
    [
      'a chunk longer than it says',
      `${post}Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n${smuggled}`,
    ],
    ['a NUL in a header', `${post}X: a\0b\r\nContent-Length: 0\r\n\r\n${smuggled}`],
    ['a bare line feed', 'POST /public/hit HTTP/1.1\nHost: a.test\nContent-Length: 0\n\n'],
    [
      'a space before the first header',
      `POST /public/hit HTTP/1.1\r\n Host: a.test\r\n\r\n${smuggled}`,
    ],
  ]
  for (const [name, bytes] of framings)
    test(`${name}: one 400, and what hides behind it is never served`, async () => {
      const replies = await sendRaw(port, bytes)
      assert.ok(
        replies.every((reply) => reply.status >= 400),
        JSON.stringify(replies),
      )
      assert.equal(replies.at(-1)?.status, 400)
      assert.equal(
        replies.at(-1)?.headers['content-type'],
        'application/problem+json; charset=utf-8',
      )
      assert.equal(replies.at(-1)?.headers['connection'], 'close')
      assert.ok(!hits.some((url) => url.includes('inner')), 'the hidden request was served')
    })

  test('pipelined requests are answered in order, and each is logged once', async () => {
    const earlier = requestLines()
    const one = (n: number) => `GET /public/hit?n=${n} HTTP/1.1\r\nHost: a.test\r\n`
    const replies = await sendRaw(
      port,
      `${one(1)}\r\n${one(2)}\r\nGET /nothing HTTP/1.1\r\nHost: a.test\r\n\r\n${one(3)}${close}`,
    )
    assert.deepEqual(
      replies.map((reply) => reply.status),
      [200, 200, 404, 200],
    )
    assert.deepEqual(hits, ['/public/hit?n=1', '/public/hit?n=2', '/public/hit?n=3'])
    assert.equal(requestLines() - earlier, 4)
  })

  test('the body of a GET is not the next request', async () => {
    const earlier = requestLines()
    const body = `${inner}\r\n`
    const replies = await sendRaw(
      port,
      `GET /public/hit?n=outer HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${body.length}\r\n${close}${body}`,
    )
    assert.equal(replies.length, 1)
    assert.deepEqual(hits, ['/public/hit?n=outer'])
    assert.equal(requestLines() - earlier, 1)
  })
})
