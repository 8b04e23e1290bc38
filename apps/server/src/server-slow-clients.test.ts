import assert from 'node:assert/strict'
import { readdir, readlink } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { after, before, describe, test, type TestContext } from 'node:test'
import { createTestDatabase, type TestDatabase } from '@quayside/platform/testing'
import { features } from './features.ts'
import { type ServerProcess, startServerProcess } from './testing/server-process.ts'
import { startTokenIssuer, type TokenIssuer } from './testing/token-issuer.ts'

const limits = { HEADERS_TIMEOUT_MS: 1_000, REQUEST_TIMEOUT_MS: 1_500, IDLE_TIMEOUT_MS: 1_000 }

// A limit is kept within a second; another one is for a machine that has other things to do.
const slackMs = 2_000

interface SlowClient {
  readonly socket: Socket
  /** What the server said, once the connection has ended, and how long that took. */
  readonly ended: Promise<{ text: string; afterMs: number }>
}

/** Opens a connection, says `first`, and then `drip` every 100 ms. */
function open(t: TestContext, url: string, { first = '', drip = '', reads = true }): SlowClient {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  let text = ''
  let dripping: NodeJS.Timeout | undefined
  const { promise, resolve } = Promise.withResolvers<{ text: string; afterMs: number }>()
  let startedMs = performance.now()
  socket.once('connect', () => {
    startedMs = performance.now()
    if (first) socket.write(first)
    if (drip) dripping = setInterval(() => socket.write(drip), 100)
    if (!reads) socket.pause()
  })
  if (reads) socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
  socket.on('error', () => undefined)
  socket.once('close', () => {
    clearInterval(dripping)
    resolve({ text, afterMs: performance.now() - startedMs })
  })
  t.after(() => socket.destroy())
  return { socket, ended: promise }
}

const orderHead = (headers: { authorization: string }) =>
  [
    'POST /auth/orders HTTP/1.1',
    'Host: test',
    `Authorization: ${headers.authorization}`,
    'Content-Type: application/json',
    'Content-Length: 1000',
    '',
    '',
  ].join('\r\n')

describe('slow clients', { timeout: 60_000 }, () => {
  let db: TestDatabase
  let server: ServerProcess
  let issuer: TokenIssuer
  const cleanUps: (() => unknown)[] = []
  before(async () => {
    db = await createTestDatabase(features)
    const t = { after: (work: unknown) => void cleanUps.push(work as () => unknown) }
    const env = Object.entries(limits).map(([name, ms]) => [name, String(ms)] as const)
    issuer = await startTokenIssuer(t)
    server = await startServerProcess(t, {
      DATABASE_URL: db.url,
      ...issuer.env,
      ...Object.fromEntries(env),
    })
    // The keys of the issuer are known from here on.
    const reply = await fetch(`${server.url}/auth/orders`, { headers: issuer.headers('a') })
    assert.equal(reply.status, 200)
  })
  after(async () => {
    for (const cleanUp of cleanUps) await cleanUp()
    await db.close()
  })

  describe('each is cut at its limit', { concurrency: true }, () => {
    for (const [what, client] of [
      ['one that says nothing', {}],
      ['one whose request line stops', { first: 'GET /hea' }],
      [
        'one whose headers never end',
        { first: 'GET /health/live HTTP/1.1\r\nHost: test\r\n', drip: 'X-More: a\r\n' },
      ],
      ['one whose headers come letter by letter', { first: 'GET /', drip: 'a' }],
    ] as const)
      test(`${what}: the one for headers`, async (t) => {
        const { text, afterMs } = await open(t, server.url, client).ended
        if (text !== '') assert.match(text, /^HTTP\/1\.1 408 /)
        assert(afterMs < limits.HEADERS_TIMEOUT_MS + slackMs, `after ${afterMs} ms`)
      })

    for (const drip of ['', 'a'])
      test(`one whose body ${drip ? 'comes letter by letter' : 'never comes'}: the one for requests`, async (t) => {
        const first = orderHead(issuer.headers('a'))
        const { text, afterMs } = await open(t, server.url, { first, drip }).ended
        if (text !== '') assert.match(text, /^HTTP\/1\.1 408 /)
        assert(afterMs < limits.REQUEST_TIMEOUT_MS + slackMs, `after ${afterMs} ms`)
      })
  })

  const isLinux = process.platform === 'linux'
  test('one that stops reading is cut at the limit for silence', { skip: !isLinux }, async (t) => {
    const first = 'GET /docs/reference.js HTTP/1.1\r\nHost: test\r\n\r\n'.repeat(4)
    const others = await connectionsOf(server)
    const { socket } = open(t, server.url, { first, reads: false })
    await new Promise((resolve) => setTimeout(resolve, 300))
    assert.equal(await connectionsOf(server), others + 1)
    const deadline = performance.now() + limits.IDLE_TIMEOUT_MS + slackMs
    while ((await connectionsOf(server)) > others) {
      assert(performance.now() < deadline, 'it is still connected')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    socket.destroy()
  })

  test('two hundred of them do not keep an honest client waiting', async (t) => {
    const body = { first: orderHead(issuer.headers('a')), drip: 'a' }
    const slow = Array.from({ length: 200 }, (_, n) =>
      open(t, server.url, n % 2 ? { first: 'GET /', drip: 'a' } : body),
    )
    for (let n = 0; n < 20; n++) {
      const reply = await fetch(`${server.url}/health/ready`, {
        signal: AbortSignal.timeout(2_000),
      })
      assert.equal(reply.status, 200)
    }
    await Promise.all(slow.map(({ ended }) => ended))
    assert.equal((await fetch(`${server.url}/health/ready`)).status, 200)
  })
})

/** Connections that the process holds on its port, as the operating system counts them. */
async function connectionsOf(server: ServerProcess): Promise<number> {
  const folder = `/proc/${server.child.pid}/fd`
  const links = await Promise.all(
    (await readdir(folder)).map((name) => readlink(`${folder}/${name}`).catch(() => '')),
  )
  return links.filter((link) => link.startsWith('socket:')).length
}
