import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createGatewayVerifier, isGatewaySecret } from './gateway.verifier.ts'
import { assembleToken, outcome, parse, standingClock } from './testing/signing.ts'

const issuer = 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf123'

describe('tokens a gateway has verified', () => {
  const clock = standingClock()
  const nowS = clock.nowS()
  const verify = (claims: unknown, tokenUse: 'id' | 'access' | 'any' = 'any') => {
    const token = assembleToken({ alg: 'RS256', kid: 'k' }, claims, 'AAAA')
    return createGatewayVerifier({ issuer, tokenUse, clock }).verify(token, parse(token))
  }

  test('only sub is believed, whatever else the token says', async () => {
    const claims = {
      iss: issuer,
      sub: 'alice',
      token_use: 'access',
      exp: nowS + 100,
      scope: 'admin',
      roles: ['admin'],
      'cognito:groups': ['admin'],
      origin_jti: 's-1',
      aal: 'aal2',
    }
    assert.deepEqual(await verify(claims), {
      issuer,
      subject: 'alice',
      roles: [],
      scopes: [],
      assurance: 'aal1',
      claims: { sub: 'alice' },
      via: 'gateway',
      validUntilMs: (nowS + 100) * 1000,
    })
  })

  test('sub alone is enough, and is asked about again after a minute', async () => {
    assert.equal((await verify({ sub: 'alice' })).validUntilMs, (nowS + 60) * 1000)
  })

  test('a token up to 60 s past its exp passes, but its end lies in the past', async () => {
    const verified = await verify({ sub: 'alice', exp: nowS - 60 })
    assert.equal(verified.validUntilMs, (nowS - 60) * 1000)
  })

  const refusals: readonly (readonly [what: string, claims: unknown, tokenUse: 'id' | 'any'])[] = [
    ['no sub', { iss: issuer }, 'any'],
    ['an empty sub', { sub: '' }, 'any'],
    ['a sub that is an object', { sub: {} }, 'any'],
    ['a NUL in sub', { sub: 'a\0' }, 'any'],
    ['another iss', { sub: 'alice', iss: `${issuer}x` }, 'any'],
    ['null as iss', { sub: 'alice', iss: null }, 'any'],
    ['an unknown token_use', { sub: 'alice', token_use: 'refresh' }, 'any'],
    ['the wrong token_use', { sub: 'alice', token_use: 'access' }, 'id'],
    ['a text as exp', { sub: 'alice', exp: '9999999999' }, 'any'],
    ['null as exp', { sub: 'alice', exp: null }, 'any'],
  ]
  for (const [what, claims, tokenUse] of refusals) {
    test(`${what} is refused`, async () => {
      assert.equal(await outcome(verify(claims, tokenUse)), 'token_invalid')
    })
  }

  test('an exp more than 60 s past is expired', async () => {
    assert.equal(await outcome(verify({ sub: 'alice', exp: nowS - 61 })), 'token_expired')
  })

  test('a gateway without an issuer is refused at creation', () => {
    assert.throws(() => createGatewayVerifier({ issuer: '', clock }), /issuer/)
  })
})

describe('the gateway’s secret', () => {
  const cases: readonly (readonly [
    given: string | undefined,
    expected: string | readonly string[],
    isMatch: boolean,
  ])[] = [
    ['s3cret', 's3cret', true],
    ['s3cret', ['new', 's3cret'], true],
    ['new', ['new', 's3cret'], true],
    ['new', ['s3cret', 'new'], true],
    ['s3creT', 's3cret', false],
    ['s3cret ', 's3cret', false],
    ['s3', 's3cret', false],
    ['', 's3cret', false],
    [undefined, 's3cret', false],
    ['', '', false],
    [undefined, '', false],
    [undefined, ['', 's3cret'], false],
    ['s3cret', [], false],
    ['s3cret', ['', 's3cret'], true],
  ]
  for (const [given, expected, isMatch] of cases) {
    test(`${JSON.stringify(given)} against ${JSON.stringify(expected)} is ${isMatch}`, () => {
      assert.equal(isGatewaySecret(given, expected), isMatch)
    })
  }
})
