import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

/**
 * Makes Fastify's `genReqId`: takes the client's `X-Request-Id` when it is at most 128 safe
 * characters, else a short id that is unique across processes. It is a label for logs, not a
 * secret, so counting on from a random prefix is enough and costs nothing.
 */
export function createRequestIds(): (request: Pick<IncomingMessage, 'headers'>) => string {
  const prefix = randomBytes(6).toString('base64url')
  let count = 0
  return (request) => {
    const given = request.headers['x-request-id']
    if (typeof given === 'string' && safe.test(given)) return given
    return `${prefix}-${(count++).toString(36)}`
  }
}

const safe = /^[A-Za-z0-9._:-]{1,128}$/
