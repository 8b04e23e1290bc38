import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { readCompactJwt, tokenBytesMax } from './compact-jwt.ts'
import { assembleToken } from './testing/signing.ts'

const header = { alg: 'RS256', kid: 'k1', typ: 'JWT' }
const good = assembleToken(header, { sub: 'u1' }, 'c2lnbmF0dXJl')
const [goodHeader = '', goodPayload = '', goodSignature = ''] = good.split('.')
const b64 = (value: string | Buffer) => Buffer.from(value).toString('base64url')

describe('reading a compact JWT', () => {
  test('gives the header and the claims, and nothing that points at other keys', () => {
    const token = assembleToken(
      { ...header, jku: 'https://evil.test', x5u: 'https://evil.test', jwk: {}, x5c: ['MII'] },
      { sub: 'u1' },
      'AAAA',
    )
    assert.deepEqual(readCompactJwt(token), { header, claims: { sub: 'u1' } })
  })

  const refusals: Readonly<Record<string, string>> = {
    'an empty text': '',
    'two parts': `${goodHeader}.${goodPayload}`,
    'four parts': `${good}.AAAA`,
    'five parts, as a JWE has': `${good}.AAAA.AAAA`,
    'an empty header': `.${goodPayload}.${goodSignature}`,
    'an empty payload': `${goodHeader}..${goodSignature}`,
    'an empty signature': `${goodHeader}.${goodPayload}.`,
    'a space before': ` ${good}`,
    'a newline after': `${good}\n`,
    'a carriage return inside': `${goodHeader}.\r${goodPayload}.${goodSignature}`,
    padding: `${goodHeader}.${goodPayload}.c2lnbmF0dXJlMQ==`,
    'the ordinary base64 alphabet': `${goodHeader}.${goodPayload}.ab+/`,
    'a character outside ASCII': `${good}é`,
    'a NUL': `${good}\0`,
    'a percent sign': `${good}%41`,
    'bits left over in the signature': `${goodHeader}.${goodPayload}.AB`,
    'bits left over in the payload': `${goodHeader}.${b64('{"a":12}').slice(0, -1)}B.AAAA`,
    'a length no base64url has': `${goodHeader}.${goodPayload}.AAAAA`,
    'JSON serialisation': JSON.stringify({ payload: goodPayload, signatures: [] }),
    'a header that is no JSON': `${b64('alg')}.${goodPayload}.AAAA`,
    'a header that is an array': `${b64('[]')}.${goodPayload}.AAAA`,
    'a header that is null': `${b64('null')}.${goodPayload}.AAAA`,
    'a header without alg': assembleToken({ kid: 'k1' }, {}, 'AAAA'),
    'an alg inherited from a prototype': `${b64('{"__proto__":{"alg":"RS256"}}')}.${goodPayload}.AAAA`,
    'an alg that is a list': assembleToken({ alg: ['RS256'] }, {}, 'AAAA'),
    'a kid that is a number': assembleToken({ alg: 'RS256', kid: 1 }, {}, 'AAAA'),
    'a typ that is an object': assembleToken({ alg: 'RS256', typ: {} }, {}, 'AAAA'),
    crit: assembleToken({ ...header, crit: ['exp'], exp: 1 }, {}, 'AAAA'),
    'an empty crit': assembleToken({ ...header, crit: [] }, {}, 'AAAA'),
    'b64 false by crit': assembleToken({ ...header, b64: false, crit: ['b64'] }, {}, 'AAAA'),
    'claims that are a text': assembleToken(header, 'sub', 'AAAA'),
    'claims that are an array': assembleToken(header, [], 'AAAA'),
    'claims with a byte order mark': `${goodHeader}.${b64('\uFEFF{"sub":"u1"}')}.AAAA`,
    'claims that are not UTF-8': `${goodHeader}.${b64(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]))}.AAAA`,
    'claims with something after the object': `${goodHeader}.${b64('{}{}')}.AAAA`,
  }
  for (const [what, token] of Object.entries(refusals)) {
    test(`${what} is refused`, () => assert.equal(readCompactJwt(token), undefined))
  }

  test('an empty signature passes only when asked for, and only that', () => {
    const unsigned = assembleToken({ alg: 'none', typ: 'JWT' }, { sub: 'u1' }, '')
    assert.equal(readCompactJwt(unsigned), undefined)
    assert.equal(readCompactJwt(unsigned, { allowEmptySignature: true })?.header.alg, 'none')
    assert.equal(readCompactJwt('..', { allowEmptySignature: true }), undefined)
    assert.equal(readCompactJwt(`${goodHeader}..`, { allowEmptySignature: true }), undefined)
  })

  test('a token of exactly the largest size is read, and one more byte is refused', () => {
    const head = `${goodHeader}.${goodPayload}.`
    const room = tokenBytesMax - head.length
    const fitting = head + 'A'.repeat(room - (room % 4))
    assert.ok(readCompactJwt(fitting))
    assert.ok(tokenBytesMax - fitting.length < 4)
    assert.equal(readCompactJwt(`${head}${'A'.repeat(room + 4)}`), undefined)
  })

  test('a token has exactly one spelling: no changed character leaves the same bytes', () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'.split('')
    const place = fc.nat({ max: good.length - 1 })
    fc.assert(
      fc.property(place, fc.constantFrom(...alphabet), (at, letter) => {
        const changed = good.slice(0, at) + letter + good.slice(at + 1)
        if (changed === good || readCompactJwt(changed) === undefined) return
        const bytes = (token: string) =>
          token.split('.').map((part) => Buffer.from(part, 'base64url').toString('hex'))
        assert.notDeepEqual(bytes(changed), bytes(good))
      }),
    )
  })

  test('no text makes it throw', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 4 }), (parts) => {
        const text = parts.map((part) => Buffer.from(part).toString('base64url')).join('.')
        readCompactJwt(text, { allowEmptySignature: true })
        readCompactJwt(Buffer.concat(parts).toString('latin1'))
      }),
    )
  })
})
