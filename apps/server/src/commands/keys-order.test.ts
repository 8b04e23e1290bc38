import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type KeysOrder, readKeysOrder } from './keys-order.ts'

const created = { verb: 'create', name: 'x', scopes: ['a:b'], lifeMs: undefined } as const

describe('the arguments of npm run keys', () => {
  for (const [args, order] of [
    ['list', { verb: 'list' }],
    ['revoke x', { verb: 'revoke', idOrName: 'x' }],
    ['create --name x --scopes a:b', created],
    ['create --scopes=a:b --name=x', created],
    ['create --name x --scopes a:b,c:d', { ...created, scopes: ['a:b', 'c:d'] }],
    ['create --name x --scopes a:b --expires 90d', { ...created, lifeMs: 7_776_000_000 }],
    ['create --name x --scopes a:b --expires 12h', { ...created, lifeMs: 43_200_000 }],
    ['create --name x --scopes a:b --expires 30m', { ...created, lifeMs: 1_800_000 }],
  ] satisfies [string, KeysOrder][])
    test(`"${args}" is understood`, () => {
      assert.deepEqual(readKeysOrder(args.split(' ')), order)
    })

  for (const args of [
    '',
    'make',
    'list everything',
    'list --name x',
    'revoke',
    'revoke x y',
    'revoke x --name y',
    'create',
    'create --name x',
    'create --scopes a:b',
    'create x --name x --scopes a:b',
    'create --name --scopes a:b',
    'create --name x --scopes a:b --expires',
    'create --name x --scopes a:b --expires 90',
    'create --name x --scopes a:b --expires 0d',
    'create --name x --scopes a:b --expires -1d',
    'create --name x --scopes a:b --expires 1y',
    'create --name x --scopes a:b --expire 90d',
    'create --name x --scopes a:b -e 90d',
  ])
    test(`"${args}" is not, and nothing is done`, () => {
      assert.equal(readKeysOrder(args.split(' ').filter(Boolean)), undefined)
    })
})
