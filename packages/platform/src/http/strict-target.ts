import type { IncomingMessage } from 'node:http'
import { commonErrors } from '../errors.ts'

/** Longest request target in bytes; beyond it the answer is 414. */
export const targetBytesMax = 8192

/**
 * Refuses request targets and Host headers that different parsers read differently: they are how
 * requests are smuggled and links in mails are steered (RFC 9112 section 3.2). Exactly one Host,
 * a bare `host[:port]`, and an origin-form target.
 */
export function assertTarget(request: IncomingMessage, originalUrl: string): void {
  const target = originalUrl
  if (target.length > targetBytesMax) throw commonErrors.uri_too_long()
  if (target.charCodeAt(0) !== slash && !(target === '*' && request.method === 'OPTIONS'))
    throw commonErrors.invalid_request({ extra: { issues: [{ path: 'target', message: 'must be a path' }] } })
  const host = request.headers.host
  if (host === undefined || !plainHost.test(host) || countHosts(request.rawHeaders) !== 1)
    throw commonErrors.invalid_host()
}

/**
 * An absolute-form target (`GET http://host/path`) must be accepted (RFC 9112 section 3.2.2); it
 * is routed like its path. The Host header is checked like any other, so both must be plain.
 */
export function originForm(target: string): string {
  if (target.charCodeAt(0) === slash) return target
  const match = /^https?:\/\/([^/?#@\\]*)(\/[^\\]*)?$/i.exec(target)
  return match?.[1] && plainHost.test(match[1]) ? (match[2] ?? '/') : target
}

function countHosts(rawHeaders: readonly string[]): number {
  let count = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]
    if (name?.length === 4 && name.toLowerCase() === 'host') count++
  }
  return count
}

const plainHost = /^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/
const slash = 47
