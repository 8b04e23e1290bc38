import type { FastifyInstance, FastifyRequest } from 'fastify'
import { commonErrors } from '../errors.ts'

/** Deepest nesting and most object members that a JSON body may have. */
export const jsonLimits = { depthMax: 32, keysMax: 10_000 } as const

/**
 * Replaces Fastify's JSON parser by a stricter one: UTF-8 only, bounded depth and size, and no
 * member names that could reach a prototype. It keeps the bytes on the request, because
 * signatures and idempotency fingerprints are taken over what was sent, not over what was parsed.
 */
export function addStrictJson(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer' },
    (request: FastifyRequest, body: Buffer, done) => {
      request.rawBody = body
      try {
        assertJsonContentType(request.headers['content-type'])
        // Clients that set a content type on every request send none with DELETE; that is no body.
        done(null, body.length === 0 && request.method === 'DELETE' ? undefined : parseJson(body))
      } catch (error) {
        done(error as Error)
      }
    },
  )
}

/** Parses a JSON text or throws `malformed_json` or `invalid_request`. */
export function parseJson(body: Buffer): unknown {
  let value: unknown
  try {
    const text = utf8.decode(body)
    assertShallow(text)
    value = JSON.parse(text)
  } catch (cause) {
    if (cause instanceof TooDeep)
      throw commonErrors.invalid_request({
        extra: { issues: [{ path: 'body', message: cause.message }] },
      })
    throw commonErrors.malformed_json({ cause })
  }
  assertClean(value)
  return value
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

class TooDeep extends Error {}

/**
 * Counts brackets before parsing, so that a body of a million of them is refused without building
 * anything. Brackets inside strings are skipped.
 */
function assertShallow(text: string): void {
  let depth = 0
  for (let index = 0; index < text.length; index++) {
    const char = text.charCodeAt(index)
    if (char === quote) {
      index = endOfString(text, index)
    } else if (char === openBrace || char === openBracket) {
      if (++depth > jsonLimits.depthMax)
        throw new TooDeep(`must not be nested deeper than ${jsonLimits.depthMax}`)
    } else if (char === closeBrace || char === closeBracket) {
      depth--
    }
  }
}

function endOfString(text: string, start: number): number {
  let index = start + 1
  while (index < text.length) {
    const char = text.charCodeAt(index)
    if (char === quote) return index
    index += char === backslash ? 2 : 1
  }
  return index
}

const quote = 34
const backslash = 92
const openBrace = 123
const closeBrace = 125
const openBracket = 91
const closeBracket = 93

/**
 * Refuses what PostgreSQL cannot store as it was sent (NUL, lone surrogates), numbers that became
 * infinite, too many members, and names that could reach a prototype. Depth is bounded already.
 */
function assertClean(root: unknown): void {
  let keys = 0
  const visit = (value: unknown): void => {
    if (typeof value === 'string') assertStorable(value)
    else if (typeof value === 'number') {
      if (!Number.isFinite(value)) refuse('must not hold a number out of range')
    } else if (Array.isArray(value)) {
      for (const item of value) visit(item)
    } else if (typeof value === 'object' && value !== null) {
      for (const [key, member] of Object.entries(value)) {
        if (++keys > jsonLimits.keysMax)
          refuse(`must not have more than ${jsonLimits.keysMax} members`)
        if (dangerousNames.has(key)) refuse('must not have a member of this name')
        assertStorable(key)
        visit(member)
      }
    }
  }
  visit(root)
}

/** Names that assignment or merging code could take for the prototype. */
export const dangerousNames: ReadonlySet<string> = new Set([
  '__proto__',
  'constructor',
  'prototype',
])

/** Refuses text that PostgreSQL would reject (NUL) or that UTF-8 cannot carry (lone surrogates). */
export function assertStorable(text: string): void {
  if (text.includes('\u0000')) refuse('must not hold a NUL character')
  if (!text.isWellFormed()) refuse('must be well-formed Unicode')
}

function refuse(message: string): never {
  throw commonErrors.invalid_request({ extra: { issues: [{ path: 'body', message }] } })
}

/**
 * Only `application/json`, with at most a UTF-8 charset. Fastify compares the beginning of the
 * header more leniently, and elsewhere such lenience let a body skip its schema (CVE-2026-25223).
 */
function assertJsonContentType(header: string | undefined): void {
  if (header === undefined || !jsonContentType.test(header))
    throw commonErrors.unsupported_media_type()
}

const jsonContentType = /^application\/json(?:[ \t]*;[ \t]*charset="?utf-8"?)?[ \t]*$/i
