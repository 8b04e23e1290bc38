import type { FastifySerializerCompiler } from 'fastify'
import { undeclaredReply } from './route-book.ts'

/**
 * Compiles the schemas of replies: only the members that a schema names leave the server. The
 * value is looked through and, only where it has more than the schema names, copied without it;
 * `JSON.stringify` then writes it. A generated serializer (fast-json-stringify) was measured at
 * three times the CPU time for a page of twenty rows, because it glues hundreds of small strings
 * that are copied once more when they are sent. A value of another kind than the schema's, such as
 * a row where its id belongs, is a bug and answers 500: nothing of it has been looked through.
 */
export function createSerializerCompiler(): FastifySerializerCompiler<object> {
  return ({ schema, method, url, httpStatus }) => {
    if (schema === undeclaredReply)
      return () => {
        throw new Error(`${method} ${url} has no response schema for the status of its reply.`)
      }
    const keep = filterOf(schema, `${method} ${url} ${httpStatus ?? ''}`)
    return (value) => JSON.stringify(keep(value))
  }
}

interface Schema {
  readonly type?: string | readonly string[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly patternProperties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: boolean | Schema
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly allOf?: readonly Schema[]
  readonly const?: unknown
  readonly enum?: unknown
}

/** Answers the value itself when nothing has to go, else a copy without it. */
type Filter = (value: unknown) => unknown

/** The schemas that a value may follow, by what kind of value they describe. */
interface Kinds {
  readonly objects: Schema[]
  readonly lists: Schema[]
  leaf: boolean
  anything: boolean
}

function filterOf(schema: Schema, where: string): Filter {
  const kinds: Kinds = { objects: [], lists: [], leaf: false, anything: false }
  sortInto(kinds, schema, where)
  if (kinds.anything) return asItIs
  const object = kinds.objects.length > 0 ? objectFilter(kinds.objects, where) : undefined
  const list = kinds.lists.length > 0 ? listFilter(kinds.lists, where) : undefined
  if (!object && !list) return leaf
  return (value) => {
    if (typeof value !== 'object' || value === null) {
      if (kinds.leaf || value === null || value === undefined) return value
    } else if (Array.isArray(value)) {
      if (list) return list(value)
    } else if (object) return object(value as Record<string, unknown>)
    throw new Misfit(where)
  }
}

function sortInto(kinds: Kinds, schema: Schema, where: string): void {
  const members = [schema.anyOf, schema.oneOf, schema.allOf].flatMap((each) => each ?? [])
  for (const member of members) sortInto(kinds, member, where)
  const types = typesOf(schema)
  if ('$ref' in schema || (types.length === 0 && 'not' in schema))
    throw new Error(`The response schema of ${where} uses $ref or not, which nobody can filter by.`)
  if (types.includes('object')) kinds.objects.push(schema)
  if (types.includes('array')) kinds.lists.push(schema)
  if (types.some((type) => type !== 'object' && type !== 'array')) kinds.leaf = true
  if (types.length === 0 && members.length === 0) kinds.anything = true
}

function typesOf(schema: Schema): readonly string[] {
  if (schema.type !== undefined) return [schema.type].flat()
  if (schema.properties ?? schema.patternProperties ?? schema.additionalProperties)
    return ['object']
  if (schema.items) return ['array']
  return 'const' in schema || 'enum' in schema ? ['leaf'] : []
}

function asItIs(value: unknown): unknown {
  return value
}

/** Text, numbers, booleans and null. A `Date` writes itself as one text. */
function leaf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  throw new Misfit('a reply')
}

/** Its message goes to the log only. */
class Misfit extends Error {
  override readonly name = 'Misfit'
  constructor(where: string) {
    super(`A value is of another kind than the response schema of ${where} says.`)
  }
}

function listFilter(schemas: readonly Schema[], where: string): (value: unknown[]) => unknown {
  const item = filterOf({ anyOf: schemas.map(({ items = {} }) => items) }, where)
  if (item === asItIs) return asItIs
  return (value) => {
    let copy: unknown[] | undefined
    for (let index = 0; index < value.length; index++) {
      const kept = item(value[index])
      if (kept !== value[index]) copy ??= value.slice()
      if (copy) copy[index] = kept
    }
    return copy ?? value
  }
}

function objectFilter(
  schemas: readonly Schema[],
  where: string,
): (value: Record<string, unknown>) => unknown {
  const known = knownMembers(schemas, where)
  const others = otherMembers(schemas, where)
  return (source) => {
    // What it would write has not been looked through.
    if (source['toJSON'] !== undefined) throw new Misfit(where)
    let copy: Record<string, unknown> | undefined
    for (const key in source) {
      const filter = known.get(key) ?? others?.(key)
      const value = source[key]
      // Nearly every member is a leaf, and nearly every leaf is in order: no call for those.
      if (filter === leaf && (typeof value !== 'object' || value === null)) continue
      // What has to go becomes undefined, which is not written.
      const kept = filter?.(value)
      if (kept !== value) (copy ??= { ...source })[key] = kept
    }
    return copy ?? source
  }
}

/** A member that several schemas name may be as any of them says. */
function knownMembers(schemas: readonly Schema[], where: string): ReadonlyMap<string, Filter> {
  const found = new Map<string, Schema[]>()
  for (const { properties = {} } of schemas)
    for (const [key, of] of Object.entries(properties))
      found.set(key, [...(found.get(key) ?? []), of])
  return new Map([...found].map(([key, anyOf]) => [key, filterOf({ anyOf }, `${where} ${key}`)]))
}

/** The filter of a member by its name's form, where a schema lets in members it does not name. */
function otherMembers(
  schemas: readonly Schema[],
  where: string,
): ((key: string) => Filter | undefined) | undefined {
  const forms = schemas.flatMap(({ patternProperties = {}, additionalProperties: others }) => [
    ...Object.entries(patternProperties).map(
      ([form, of]) => [new RegExp(form, 'u'), filterOf(of, where)] as const,
    ),
    ...(others ? [[/^/, others === true ? asItIs : filterOf(others, where)] as const] : []),
  ])
  if (forms.length === 0) return undefined
  return (key) => forms.find(([form]) => form.test(key))?.[1]
}
