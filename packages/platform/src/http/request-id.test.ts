import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createTestApp, type TestApp } from '../testing/index.ts'
import { createRequestIds } from './request-id.ts'

describe('request ids', () => {
  let app: TestApp
  before(async () => {
    app = await createTestApp([])
  })
  after(async () => app.close())

  for (const id of ['a', 'A-b_c.d:9', '8e03978e-40d5-43dd-bc93-6894a57f9324', 'x'.repeat(128)])
    test(`${id.slice(0, 12)} is taken over, echoed, and written to the log`, async () => {
      const reply = await app.anybody.get('/nothing', { 'x-request-id': id })
      assert.equal(reply.headers['x-request-id'], id)
      assert.equal(reply.json<{ requestId: string }>().requestId, id)
    })

  for (const id of [
    '',
    'x'.repeat(129),
    'a b',
    'a,b',
    'a"b',
    '<script>',
    'a/b',
    'é',
    '{}',
    "a'b",
    '%0a',
  ])
    test(`${JSON.stringify(id.slice(0, 12))} is replaced by one of ours`, async () => {
      const reply = await app.anybody.get('/health/live', { 'x-request-id': id })
      assert.notEqual(reply.headers['x-request-id'], id)
      assert.match(String(reply.headers['x-request-id']), /^[\w-]{8}-[0-9a-z]+$/)
    })

  test('every log line of a request carries its id', async () => {
    await app.anybody.get('/nothing', { 'x-request-id': 'trace-me' })
    const [line, ...more] = app.logged().filter((each) => each['requestId'] === 'trace-me')
    assert.equal(line?.['msg'], 'request')
    assert.deepEqual([line['status'], line['method'], line['url']], [404, 'GET', '/nothing'])
    assert.deepEqual(more, [])
  })

  test('ids of ours do not repeat, within a process or between two', () => {
    const makers = [createRequestIds(), createRequestIds()]
    const ids = makers.flatMap((make) => Array.from({ length: 1000 }, () => make({ headers: {} })))
    assert.equal(new Set(ids).size, 2000)
  })
})
