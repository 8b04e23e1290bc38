import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { Type } from 'typebox'
import { defineFeature } from '../feature.ts'
import { createTestApp, type TestApp } from '../testing/index.ts'
import { userAccess } from './access.ts'
import { listen, type RawReply, sendRaw } from './testing/raw-http.ts'
import { standInUsers } from './testing/stand-in-users.ts'

let seen: string[] = []

const secrets = defineFeature({
  name: 'secrets',
  setup: () => ({
    routes(app) {
      const config = { access: userAccess() }
      const response = { 200: Type.Object({ secretOf: Type.String() }) }
      app.get('/auth/secret', { config, schema: { response } }, async (request) => {
        seen.push(request.principal?.subject ?? 'nobody')
        return { secretOf: request.principal?.subject ?? 'nobody' }
      })
      const params = Type.Object({ sub: Type.String() })
      app.get(
        '/auth/users/:sub/secret',
        { config, schema: { params, response } },
        async (request) => {
          seen.push(request.params.sub)
          return { secretOf: request.params.sub }
        },
      )
      app.get('/auth/users/:sub', { config, schema: { params, response } }, async (request) => {
        seen.push(request.params.sub)
        return { secretOf: request.params.sub }
      })
    },
  }),
})

/** Other spellings of `/auth/secret`. */
const spellings = [
  '//auth/secret',
  '/auth//secret',
  '/auth/secret//',
  '/./auth/secret',
  '/auth/./secret',
  '/auth/x/../secret',
  '/public/../auth/secret',
  '/auth/%2e/secret',
  '/auth/x/%2e%2e/secret',
  '/public/%2e%2e/auth/secret',
  '/auth%2Fsecret',
  '/auth%2fsecret',
  '/auth%252Fsecret',
  '/auth/secret;x=1',
  '/auth;x=1/secret',
  '/auth/secret/',
  '/AUTH/SECRET',
  '/auth/Secret',
  '/auth\\secret',
  '/auth%5Csecret',
  '/auth/secret%00',
  '/auth/secret\0',
  '/auth/secret%00.json',
  '/auth/s%65cret',
  '/%61uth/secret',
  '/auth/s%2565cret',
  '/auth/secret%20',
  '/auth/secret.',
  '/auth/secret.json',
  '/auth/secret%3Fx',
  '/auth/secret%23x',
  '/auth/secret?',
  '/auth/secret#x',
  '/auth/\xefsecret',
  '/auth/%EF%BC%8Fsecret',
  '/auth/secret\t',
  '/auth/s%C0%A5cret',
  '/auth/%u0073ecret',
  '*',
  '',
  'auth/secret',
]

/** Ways to write ada's path, used by others. */
const victims = [
  '/auth/users/ada/secret',
  '/auth/users/%61da/secret',
  '/auth/users/%61%64%61/secret',
  '/auth/users/%2561da/secret',
  '/auth//users/ada/secret',
  '/auth/users//ada/secret',
  '/auth/users/ada//secret',
  '/auth/users/./ada/secret',
  '/auth/users/eve/../ada/secret',
  '/auth/users/eve/%2e%2e/ada/secret',
  '/auth/users/eve%2F..%2Fada/secret',
  '/auth/users/eve%2fada/secret',
  '/auth/users/eve%252F..%252Fada/secret',
  '/auth/users/ada;x=1/secret',
  '/auth/users/ada;eve/secret',
  '/auth/users/ada/secret/',
  '/auth/users/ADA/secret',
  '/auth/users/Ada/secret',
  '/auth/users/ada\\secret',
  '/auth/users/eve\\..\\ada/secret',
  '/auth/users/ada%00/secret',
  '/auth/users/ada%20/secret',
  '/auth/users/%20ada/secret',
  '/auth/users/ada%0a/secret',
  '/auth/users/ada%2e/secret',
  '/auth/users/eve,ada/secret',
  '/auth/users/eve%2Cada/secret',
  '/auth/users/ada/secret?sub=eve',
  '/auth/users/ada/secret?userId=eve',
  '/auth/users/%EF%BD%81da/secret',
  '/auth/users/%D0%B0da/secret',
  '/auth/users/__proto__/secret',
  '/auth/users/constructor/secret',
  '/auth/users//secret',
  '/auth/users/%/secret',
  '/auth/users/%ff/secret',
  '/auth/users/*/secret',
  '/auth/users/:sub/secret',
  '/auth/users/ada',
  '/auth/users/%61da',
  '/auth/users/ada%2Fsecret',
  '/auth/users/me/secret',
  '/auth/users/undefined/secret',
  '/auth/users/null/secret',
]

describe('spellings of a path', () => {
  let app: TestApp
  let port: number
  before(async () => {
    app = await createTestApp([standInUsers, secrets])
    port = await listen(app.app.http)
  })
  after(async () => app.close())
  beforeEach(() => {
    seen = []
  })

  async function get(target: string, subject?: string, extra = ''): Promise<RawReply> {
    const proof = subject
      ? `Authorization: ${(await app.as(subject).headers())['authorization']}\r\n`
      : ''
    const [reply, ...more] = await sendRaw(
      port,
      `GET ${target} HTTP/1.1\r\nHost: a.test\r\n${proof}${extra}Connection: close\r\n\r\n`,
    )
    assert.ok(reply)
    assert.deepEqual(more, [])
    return reply
  }

  for (const target of spellings) {
    const shown = JSON.stringify(target)
    test(`without a token ${shown} gives nothing away`, async () => {
      const reply = await get(target)
      assert.ok([400, 401, 404].includes(reply.status), String(reply.status))
      assert.equal(reply.headers['content-type'], 'application/problem+json; charset=utf-8')
      assert.deepEqual(seen, [])
    })
    test(`with a token ${shown} is either nothing or the caller's own`, async () => {
      const reply = await get(target, 'eve')
      if (reply.status === 200) assert.deepEqual(reply.json(), { secretOf: 'eve' })
      else assert.ok([400, 404].includes(reply.status), String(reply.status))
      assert.ok(seen.every((subject) => subject === 'eve'))
    })
  }

  for (const target of victims) {
    const shown = JSON.stringify(target)
    test(`eve never reaches ada by ${shown}`, async () => {
      const reply = await get(target, 'eve')
      assert.ok([400, 403, 404].includes(reply.status), String(reply.status))
      assert.deepEqual(seen, [], 'a handler ran')
      assert.ok(!reply.body.includes('secretOf'))
    })
    test(`nobody reaches ada by ${shown}`, async () => {
      const reply = await get(target)
      assert.ok([400, 401, 404].includes(reply.status), String(reply.status))
      assert.deepEqual(seen, [])
    })
  }

  test("another's {sub} answers 403 subject_mismatch before the handler runs", async () => {
    const reply = await get('/auth/users/ada/secret', 'eve')
    assert.equal(reply.status, 403)
    assert.equal(reply.json()['code'], 'subject_mismatch')
    assert.deepEqual(seen, [])
  })

  for (const subject of [
    'ada',
    'auth0|5f7c',
    'ü/ñ',
    'a b',
    '100%',
    'a+b@c.test',
    'a?b#c',
    '..',
    'x'.repeat(128),
  ])
    test(`the own {sub} ${JSON.stringify(subject.slice(0, 12))} is reached, also in escapes`, async () => {
      const everyByte = [...Buffer.from(subject)]
        .map((byte) => `%${byte.toString(16).padStart(2, '0')}`)
        .join('')
      for (const spelling of [encodeURIComponent(subject), everyByte]) {
        const reply = await get(`/auth/users/${spelling}/secret`, subject)
        assert.equal(reply.status, 200)
        assert.deepEqual(reply.json(), { secretOf: subject })
      }
    })

  test('headers and parameters that name another person change nobody', async () => {
    const reply = await get(
      '/auth/secret',
      'eve',
      'X-User-Id: ada\r\nX-User-Sub: ada\r\nX-Forwarded-User: ada\r\nX-Original-URL: /auth/users/ada/secret\r\nX-Rewrite-URL: /auth/users/ada/secret\r\nX-HTTP-Method-Override: DELETE\r\n',
    )
    assert.deepEqual([reply.status, reply.json()], [200, { secretOf: 'eve' }])
  })

  test('without a token a name in query, header or body opens nothing', async () => {
    for (const query of [
      'userId=ada',
      'sub=ada',
      'email=ada@a.test',
      'access_token=x',
      'apikey=qk_x',
    ]) {
      assert.equal((await get(`/auth/secret?${query}`)).status, 401)
      assert.equal((await get('/auth/secret', undefined, `X-User: ${query}\r\n`)).status, 401)
    }
    assert.deepEqual(seen, [])
  })
})
