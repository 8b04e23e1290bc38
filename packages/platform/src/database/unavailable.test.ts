import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { describe, test } from 'node:test'
import postgres from 'postgres'
import { isDatabaseUnavailable } from './unavailable.ts'

const withCode = (code: unknown) => Object.assign(new Error('made for a test'), { code })

describe('whether an error means that the database cannot serve right now', () => {
  for (const code of [
    'ECONNREFUSED',
    'ECONNRESET',
    'EPIPE',
    'ETIMEDOUT',
    'ENOTFOUND',
    'CONNECTION_CLOSED',
    'CONNECTION_DESTROYED',
    'CONNECTION_ENDED',
    'CONNECT_TIMEOUT',
    'CONNECTION_SILENT',
    '08006',
    '08P01',
    '57P01',
    '57P02',
    '57P03',
    '57014',
    '53100',
    '53200',
    '53300',
    '55P03',
    '25P03',
    '40001',
    '40P01',
  ])
    test(`${code} does`, () => assert.equal(isDatabaseUnavailable(withCode(code)), true))

  for (const code of ['23505', '42P01', '22P05', '28P01', '3D000', 'ERR_INVALID_ARG_TYPE', 8, null])
    test(`${code} does not: it is a bug or a wrong setting, and waiting mends neither`, () =>
      assert.equal(isDatabaseUnavailable(withCode(code)), false))

  test('what is no error with a code does not', () => {
    for (const thrown of [undefined, null, 'ECONNREFUSED', 57014, {}, new Error('ECONNREFUSED')])
      assert.equal(isDatabaseUnavailable(thrown), false)
  })

  test('a name with two addresses that both refuse does', async () => {
    const error = new AggregateError([withCode('ECONNREFUSED'), withCode('ECONNREFUSED')], 'both')
    assert.equal(isDatabaseUnavailable(error), true)
    assert.equal(isDatabaseUnavailable(new AggregateError([])), false)
  })

  test('a port where nobody listens does', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    assert(typeof address === 'object' && address !== null)
    server.close()
    await once(server, 'close')
    const sql = postgres({ host: '127.0.0.1', port: address.port, max: 1 })
    const error = await sql`select 1`.catch((thrown: unknown) => thrown)
    await sql.end({ timeout: 0 })
    assert.equal(isDatabaseUnavailable(error), true)
  })
})
