import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { commonErrors } from '../errors.ts'

/**
 * Checks the caller's `If-Match` against what is there now and throws `precondition_failed`.
 * A service calls it inside its transaction, with the wire form of the row it has locked.
 */
export type Precondition = (current: object) => void

/** The strong ETag (RFC 9110 section 8.8.3) of one thing on the wire. */
export function etagOf(thing: object): string {
  return `"${createHash('sha1').update(JSON.stringify(thing)).digest('base64url')}"`
}

/**
 * Answers a single GET with its ETag, or 304 when `If-None-Match` names it.
 * `return sendConditional(request, reply, { order })`
 */
export function sendConditional<Body extends object>(
  request: FastifyRequest,
  reply: FastifyReply,
  body: Body,
): Body | FastifyReply {
  const etag = etagOf(onlyMember(body))
  reply.header('etag', etag).header('cache-control', 'private, no-cache')
  const given = request.headers['if-none-match']
  if (given !== undefined && matches(given, etag, true)) return reply.status(304).send()
  return body
}

/** The precondition that `If-Match` states; without the header it accepts everything. */
export function ifMatch(request: FastifyRequest): Precondition {
  const given = request.headers['if-match']
  return (current) => {
    if (given !== undefined && !matches(given, etagOf(current), false))
      throw commonErrors.precondition_failed()
  }
}

// The ETag is that of the thing, not of its envelope, so a service can compute it too.
function onlyMember(body: object): object {
  const [value] = Object.values(body)
  return value as object
}

function matches(header: string, etag: string, weak: boolean): boolean {
  if (header.trim() === '*') return true
  return header.split(',').some((each) => {
    const candidate = each.trim()
    return candidate === etag || (weak && candidate === `W/${etag}`)
  })
}
