import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Type } from 'typebox'
import { createSerializerCompiler } from './serializer-compiler.ts'

const secret = { id: '1', password: 'canary' }
const Thing = Type.Object({ id: Type.String() })

function write(schema: object, value: unknown): string {
  const compile = createSerializerCompiler()
  return compile({ schema, url: '/auth/x', method: 'GET', httpStatus: '200' })(value)
}

class Account {
  readonly id = '1'
  readonly password = 'canary'
}

class Disguised {
  readonly id = '1'
  toJSON(): object {
    return secret
  }
}

describe('what a reply may hold', () => {
  const fitting: readonly [string, object, unknown, string][] = [
    ['an object', Thing, { id: '1' }, '{"id":"1"}'],
    ['an object with more', Thing, secret, '{"id":"1"}'],
    ['an object of a class', Thing, new Account(), '{"id":"1"}'],
    [
      'a list',
      Type.Array(Thing),
      [secret, { id: '2' }, secret],
      '[{"id":"1"},{"id":"2"},{"id":"1"}]',
    ],
    ['an empty list', Type.Array(Thing), [], '[]'],
    [
      'objects in objects',
      Type.Object({ a: Type.Object({ b: Thing }) }),
      { a: { b: secret, c: secret }, d: secret },
      '{"a":{"b":{"id":"1"}}}',
    ],
    ['lists in lists', Type.Array(Type.Array(Thing)), [[secret]], '[[{"id":"1"}]]'],
    ['an optional member that is missing', Type.Object({ a: Type.Optional(Thing) }), {}, '{}'],
    ['an object or null: the object', Type.Union([Thing, Type.Null()]), secret, '{"id":"1"}'],
    ['an object or null: null', Type.Union([Thing, Type.Null()]), null, 'null'],
    [
      'text or null',
      Type.Object({ a: Type.Union([Type.String(), Type.Null()]) }),
      { a: null, b: 'canary' },
      '{"a":null}',
    ],
    ['a record', Type.Record(Type.String(), Thing), { x: secret }, '{"x":{"id":"1"}}'],
    [
      'two shapes',
      Type.Union([Type.Object({ a: Type.String() }), Type.Object({ b: Type.String() })]),
      { b: 'x', password: 'canary' },
      '{"b":"x"}',
    ],
    [
      'an intersection',
      Type.Intersect([Thing, Type.Object({ a: Type.String() })]),
      { ...secret, a: 'x' },
      '{"id":"1","a":"x"}',
    ],
    ['a nullable list', Type.Union([Type.Array(Thing), Type.Null()]), [secret], '[{"id":"1"}]'],
    [
      'numbers as they are',
      Type.Object({ a: Type.Number(), b: Type.Integer() }),
      { a: 19.99, b: 3 },
      '{"a":19.99,"b":3}',
    ],
    [
      'text with everything in it',
      Type.Object({ a: Type.String() }),
      { a: '"\\\n\u2028é😀</script>' },
      JSON.stringify({ a: '"\\\n\u2028é😀</script>' }),
    ],
    ['whatever, where the schema says so', Type.Unknown(), { any: [1] }, '{"any":[1]}'],
  ]
  for (const [name, schema, value, text] of fitting)
    test(`${name} is written without what the schema does not name`, () => {
      const copy = structuredClone(value)
      assert.equal(write(schema, value), text)
      assert.deepEqual(structuredClone(value), copy, 'the value itself was changed')
    })

  // A mistake in a handler is no reason to send more than the schema names.
  const misfits: readonly [string, object, unknown][] = [
    ['an object in the place of text', Type.Object({ owner: Type.String() }), { owner: secret }],
    [
      'an object in the place of a number',
      Type.Object({ owner: Type.Integer() }),
      { owner: secret },
    ],
    [
      'an object in the place of text or null',
      Type.Object({ owner: Type.Union([Type.String(), Type.Null()]) }),
      { owner: secret },
    ],
    [
      'an object in the place of a list',
      Type.Object({ things: Type.Array(Thing) }),
      { things: { 0: secret } },
    ],
    ['a list in the place of an object', Thing, [secret]],
    ['a list in the place of text', Type.Object({ owner: Type.String() }), { owner: [secret] }],
    ['objects in a list of text', Type.Array(Type.String()), [secret]],
    ['objects in a record of text', Type.Record(Type.String(), Type.String()), { x: secret }],
    ['an object that writes itself', Thing, new Disguised()],
    ['a member that writes itself', Type.Object({ thing: Thing }), { thing: new Disguised() }],
    [
      'an object with a type list',
      { type: ['object', 'null'], properties: { id: { type: 'string' } } },
      secret,
    ],
    ['an object whose schema names no type', { properties: { id: { type: 'string' } } }, secret],
    ['inherited members', Thing, Object.create(secret)],
  ]
  for (const [name, schema, value] of misfits)
    test(`${name} brings nothing out`, () => {
      let text = ''
      try {
        text = write(schema, value)
      } catch {
        // An error is a 500 without detail, which is as good.
      }
      assert.ok(!text.includes('canary'), text)
    })
})
