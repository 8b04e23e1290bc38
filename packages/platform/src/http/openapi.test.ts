import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import { Type } from 'typebox'
import { commonErrorCatalogue } from '../errors.ts'
import { defineFeature } from '../feature.ts'
import { createTestApp, type TestApp } from '../testing/index.ts'
import { publicAccess, serviceAccess, userAccess } from './access.ts'
import { PageQuery } from './pagination.ts'
import { standInUsers } from './testing/stand-in-users.ts'

const books = defineFeature({
  name: 'books',
  setup: () => ({
    routes(app) {
      const Book = Type.Object({ id: Type.String({ format: 'uuid' }), pages: Type.Integer() })
      const params = Type.Object({ id: Type.String({ format: 'uuid' }), sub: Type.String() })
      const user = { access: userAccess() }
      app.get(
        '/auth/books',
        {
          config: user,
          schema: { summary: 'Books', querystring: PageQuery, response: { 200: Type.Array(Book) } },
        },
        async () => [],
      )
      app.post(
        '/auth/books',
        { config: user, schema: { body: Book, response: { 201: Book } } },
        async ({ body }) => body,
      )
      app.delete(
        '/auth/users/:sub/books/:id',
        { config: user, schema: { params, response: { 204: Type.Null() } } },
        async () => null,
      )
      app.get(
        '/internal/books',
        {
          config: { access: serviceAccess('books:read', 'books:list') },
          schema: { response: { 200: Book } },
        },
        async () => ({ id: '', pages: 1 }),
      )
      app.get(
        '/public/books',
        { config: { access: publicAccess() }, schema: { response: { 200: Book } } },
        async () => ({ id: '', pages: 1 }),
      )
    },
  }),
})

interface Operation {
  readonly parameters?: { name: string; in: string; required?: boolean; schema: object }[]
  readonly requestBody?: { content: Record<string, { schema: object }> }
  readonly responses: Record<
    string,
    { description: string; content?: Record<string, { schema: object }> }
  >
  readonly security: Record<string, string[]>[]
}

interface Document {
  readonly openapi: string
  readonly info: { title: string; version: string }
  readonly paths: Record<string, Record<string, Operation>>
  readonly components: { securitySchemes: Record<string, object> }
}

describe('the OpenAPI document', () => {
  let app: TestApp
  let document: Document
  before(async () => {
    app = await createTestApp([standInUsers, books])
    document = (await app.anybody.get('/openapi.json')).json<Document>()
  })
  after(async () => app.close())

  const operations = () =>
    Object.entries(document.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, operation]) => ({ path, method, operation })),
    )

  test('is OpenAPI 3.1, served as JSON to anybody', async () => {
    const reply = await app.anybody.get('/openapi.json')
    assert.equal(reply.headers['content-type'], 'application/json; charset=utf-8')
    assert.equal(document.openapi, '3.1.0')
    assert.deepEqual([document.info.title, document.info.version], ['Quayside', '0.0.0-test'])
  })

  test('describes every route of the route list, and no other', () => {
    const hidden = new Set(['/docs', '/docs/reference.js', '/openapi.json'])
    const listed = app.app.routes
      .filter(({ path }) => !hidden.has(path))
      .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`)
    const described = operations().map(({ path, method }) => `${method.toUpperCase()} ${path}`)
    assert.deepEqual(described.toSorted(), listed.toSorted())
    assert.ok(described.includes('DELETE /auth/users/{sub}/books/{id}'))
  })

  test('has a description for every reply, and the problem document for every refusal', () => {
    for (const { path, method, operation } of operations()) {
      const where = `${method} ${path}`
      assert.ok(
        Object.keys(operation.responses).some((status) => /^2\d\d$/.test(status)),
        where,
      )
      for (const [status, { description }] of Object.entries(operation.responses)) {
        assert.match(status, /^(?:[1-5]\d\d|[45]XX)$/, where)
        assert.ok(description.length > 0, where)
      }
      for (const status of ['4XX', '5XX'])
        assert.deepEqual(
          Object.keys(operation.responses[status]?.content ?? {}),
          ['application/problem+json'],
          where,
        )
    }
  })

  test('declares exactly the parameters of each path, as required', () => {
    for (const { path, operation } of operations()) {
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
      const declared = (operation.parameters ?? []).filter((each) => each.in === 'path')
      assert.deepEqual(new Set(declared.map(({ name }) => name)), new Set(named))
      assert.ok(declared.every(({ required }) => required === true))
    }
  })

  test('requires no query parameter that has a default', () => {
    const limit = document.paths['/auth/books']?.['get']?.parameters?.find(
      ({ name }) => name === 'limit',
    )
    assert.equal(limit?.required, false)
    assert.deepEqual(limit.schema, { type: 'integer', minimum: 1, maximum: 200, default: 50 })
  })

  test('says who may call', () => {
    const securityOf = (method: string, path: string) => document.paths[path]?.[method]?.security
    assert.deepEqual(securityOf('get', '/auth/books'), [{ bearer: [] }])
    assert.deepEqual(securityOf('get', '/internal/books'), [
      { apiKey: ['books:read', 'books:list'] },
    ])
    assert.deepEqual(securityOf('get', '/public/books'), [])
    assert.deepEqual(Object.keys(document.components.securitySchemes), ['bearer', 'apiKey'])
  })

  test('holds only schemas that JSON Schema 2020-12 understands', () => {
    const ajv = new Ajv2020({ strict: true, strictRequired: false })
    formats.default(ajv)
    for (const { operation } of operations()) {
      const contents = [operation.requestBody, ...Object.values(operation.responses)].flatMap(
        (each) => Object.values(each?.content ?? {}),
      )
      for (const { schema } of [...contents, ...(operation.parameters ?? [])]) ajv.compile(schema)
    }
  })

  test('names its problem members as they are sent', async () => {
    const schema =
      document.paths['/auth/books']?.['get']?.responses['4XX']?.content?.[
        'application/problem+json'
      ]?.schema
    assert.ok(schema)
    const problem = (await app.anybody.get('/auth/books')).json<object>()
    const valid = new Ajv2020({ strict: false }).compile({ ...schema, additionalProperties: false })
    assert.equal(valid(problem), true, JSON.stringify(valid.errors))
  })
})

describe('the common errors', () => {
  for (const [code, [status, message]] of Object.entries(commonErrorCatalogue))
    test(`${code} has a fitting status and a sentence`, () => {
      assert.match(code, /^[a-z]+(?:_[a-z]+)*$/)
      assert.ok(Number.isInteger(status) && status >= 400 && status < 600)
      assert.match(message, /^[A-Z].*\.$/)
    })
})
