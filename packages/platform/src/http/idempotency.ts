import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Transaction } from '../database/connect.ts'
import { AppError, commonErrors } from '../errors.ts'
import type { IdempotencyRepository, StoredReply } from './idempotency.repository.ts'
import { problemOf, problemType } from './problem.ts'

export interface IdempotencyDeps {
  readonly replies: IdempotencyRepository
  readonly transaction: Transaction
}

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown

/**
 * Wraps the handler of a writing route so that a request with an `Idempotency-Key` takes effect
 * once (draft-ietf-httpapi-idempotency-key-header). The handler runs inside a transaction that
 * also stores its reply, so a process killed at any moment leaves either both or neither, and a
 * retry after a lost answer gets the first reply word for word. Without the header nothing
 * changes. Refusals below 500 are stored too; faults are not, so that a retry may succeed.
 */
export function createIdempotency({ replies, transaction }: IdempotencyDeps) {
  return function idempotent(handler: Handler): Handler {
    return async function handle(request, reply) {
      const key = idempotencyKeyOf(request)
      if (key === undefined) return handler(request, reply)
      const scope = `${request.principal?.via} ${request.principal?.userId}`
      const fingerprint = fingerprintOf(request)
      const stored = await transaction(async () => {
        if (!(await replies.tryLock(scope, key))) throw commonErrors.idempotency_in_progress()
        const earlier = await replies.find(scope, key)
        if (earlier) {
          if (!earlier.fingerprint.equals(fingerprint)) throw commonErrors.idempotency_key_reused()
          return { ...earlier, headers: { ...earlier.headers, 'idempotency-replayed': 'true' } }
        }
        const fresh = await run(handler, request, reply, transaction)
        await replies.save(scope, key, { ...fresh, fingerprint })
        return fresh
      })
      return reply
        .status(stored.status)
        .headers(stored.headers)
        .serializer(asIs)
        .send(stored.body === '' ? undefined : stored.body)
    }
  }
}

/** Runs the handler and turns what it answers, or refuses with, into a reply to be stored. */
async function run(
  handler: Handler,
  request: FastifyRequest,
  reply: FastifyReply,
  transaction: Transaction,
): Promise<StoredReply> {
  try {
    // A savepoint: what a refused handler had already written is undone, the refusal is kept.
    const payload = await transaction(async () => handler(request, reply))
    if (reply.sent || payload === reply)
      throw new Error('A writing handler returns its payload; replying early would precede commit.')
    const body = payload === undefined ? '' : serialise(reply, payload)
    return { status: reply.statusCode, headers: keptHeaders(reply, body), body }
  } catch (error) {
    if (!(error instanceof AppError) || error.status >= 500) throw error
    // What the handler said of the thing it was about to make describes nothing now.
    reply.removeHeader('etag').removeHeader('location')
    return {
      status: error.status,
      headers: { ...error.headers, 'content-type': problemType },
      body: JSON.stringify(problemOf(error, request.id)),
    }
  }
}

function serialise(reply: FastifyReply, payload: unknown): string {
  const text = reply.serialize(payload)
  return typeof text === 'string' ? text : Buffer.from(text as Uint8Array).toString('utf8')
}

function asIs(payload: unknown): string {
  return payload as string
}

/** Headers that describe this result; the others are made anew for every reply. */
function keptHeaders(reply: FastifyReply, body: string): Record<string, string> {
  const kept: Record<string, string> = {}
  if (body !== '') kept['content-type'] = 'application/json; charset=utf-8'
  for (const name of ['location', 'etag']) {
    const value = reply.getHeader(name)
    if (typeof value === 'string') kept[name] = value
  }
  return kept
}

/** The key, given with or without quotes: 1–255 visible ASCII characters. */
function idempotencyKeyOf(request: FastifyRequest): string | undefined {
  const header = request.headers['idempotency-key']
  if (header === undefined) return undefined
  const key = typeof header === 'string' ? (/^"(.*)"$/.exec(header)?.[1] ?? header) : ''
  if (!/^[\x21-\x7e]{1,255}$/.test(key))
    throw commonErrors.invalid_request({
      extra: {
        issues: [
          { path: 'headers/idempotency-key', message: 'must be 1 to 255 visible ASCII characters' },
        ],
      },
    })
  return key
}

function fingerprintOf(request: FastifyRequest): Buffer {
  const hash = createHash('sha256').update(`${request.method} ${request.url}\n`)
  if (request.rawBody) hash.update(request.rawBody)
  return hash.digest()
}
