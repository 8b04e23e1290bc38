import createSerializer from 'fast-json-stringify'
import type { FastifySerializerCompiler } from 'fastify'

/**
 * Compiles the schemas of replies: only the members that a schema names leave the server. Strings
 * of the formats `uuid` and `date-time` are written without looking for characters to escape: they
 * come from PostgreSQL's own types, from our clock or through the validator, none of which lets
 * such a character pass, and a page of twenty rows has forty of them (4 of 20 µs, measured).
 */
export function createSerializerCompiler(): FastifySerializerCompiler<object> {
  // Named to Ajv too, which decides between the members of a union and warns of unknown formats.
  const options = { ajv: { formats: { unsafe: true as const } } }
  return ({ schema }) => createSerializer(withPlainFormats(schema) as object, options)
}

function withPlainFormats(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withPlainFormats)
  if (typeof schema !== 'object' || schema === null) return schema
  const copy = Object.fromEntries(
    Object.entries(schema).map(([key, value]) => [key, withPlainFormats(value)]),
  )
  const isPlain = copy['type'] === 'string' && plainFormats.has(String(copy['format']))
  return isPlain ? { ...copy, format: 'unsafe' } : copy
}

const plainFormats = new Set(['uuid', 'date-time'])
