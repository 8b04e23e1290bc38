import { Ajv, type Options } from 'ajv'
import formats from 'ajv-formats'
import type { FastifySchemaCompiler } from 'fastify'

/**
 * Compiles the schemas of requests. Bodies are taken as they are: a string where a number belongs
 * is refused. Query and path values are text by nature and are converted. Nothing is removed
 * silently: a member that the schema does not name is refused where it says so.
 */
export function createSchemaCompiler(): FastifySchemaCompiler<object> {
  const body = createAjv({ coerceTypes: false })
  const text = createAjv({ coerceTypes: true, strictNumbers: false })
  return ({ schema, httpPart }) =>
    (httpPart === 'body' ? body.compile(schema) : text.compile(bounded(schema))) as ReturnType<
      FastifySchemaCompiler<object>
    >
}

/**
 * The library converts `1e999` and `Infinity` to infinite numbers, which PostgreSQL answers with an
 * error. Bounds are checked after the conversion, so every number of a query or path gets some.
 * With `strictNumbers` the library would leave infinite numbers out of that check.
 */
function bounded(schema: { properties?: Record<string, { type?: unknown }> }): object {
  if (!schema.properties) return schema
  const properties = Object.entries(schema.properties).map(([name, property]) =>
    property.type === 'number' || property.type === 'integer'
      ? [name, { minimum: -Number.MAX_VALUE, maximum: Number.MAX_VALUE, ...property }]
      : [name, property],
  )
  return { ...schema, properties: Object.fromEntries(properties) as object }
}

function createAjv(options: Options): Ajv {
  const ajv = new Ajv({ useDefaults: true, removeAdditional: false, strict: true, ...options })
  formats.default(ajv, ['date-time', 'date', 'email', 'uri'])
  // The library's own `uuid` also accepts `urn:uuid:…`, which PostgreSQL does not.
  ajv.addFormat('uuid', uuidForm)
  ajv.addKeyword({
    keyword: 'maxDecimals',
    type: 'number',
    schemaType: 'number',
    error: { message: ({ schema }) => `must have at most ${schema as number} decimals` },
    // The shortest text of a double shows the decimals that were written; arithmetic would not.
    validate: (decimals: number, value: number) =>
      new RegExp(`^-?\\d+(?:\\.\\d{1,${decimals}})?$`).test(String(value)),
  })
  return ajv
}

const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
