import type { IncomingMessage } from 'node:http'
import { commonErrors } from '../errors.ts'

/** Longest request target in bytes; beyond it the answer is 414. */
export const targetBytesMax = 8192

/**
 * Refuses request targets and Host headers that different parsers read differently: they are how
 * requests are smuggled and links in mails are steered (RFC 9112 section 3.2). Exactly one Host,
 * a bare `host[:port]`, and a target that `originForm` could bring to a path.
 */
export function assertTarget(request: IncomingMessage, originalUrl: string): void {
  if (originalUrl.length > targetBytesMax) throw commonErrors.uri_too_long()
  const target = request.url ?? ''
  if (target.charCodeAt(0) !== slash && !(target === '*' && request.method === 'OPTIONS'))
    throw commonErrors.invalid_request({
      extra: { issues: [{ path: 'target', message: 'must be a path with valid escapes' }] },
    })
  const host = request.headers.host
  if (host === undefined || !plainHost.test(host) || countHosts(request.rawHeaders) !== 1)
    throw commonErrors.invalid_host()
}

/**
 * The path and query that a request is routed by. An absolute-form target (`GET http://host/path`)
 * must be accepted (RFC 9112 section 3.2.2); it is routed like its path. Everything else, and
 * escapes that are no UTF-8 or hide a NUL, which PostgreSQL cannot store, give a target that is no
 * path: it matches no route, and `assertTarget` refuses it.
 */
export function originForm(target: string): string {
  const path = target.charCodeAt(0) === slash ? target : pathOf(target)
  return path.includes('%') && !isDecodable(path) ? noPath : path
}

function pathOf(target: string): string {
  if (target === '*') return target
  const [, host, path = '/'] = /^https?:\/\/([^/?#@\\]*)(\/[^\\]*)?$/i.exec(target) ?? []
  return host && plainHost.test(host) ? path : noPath
}

// The router would find a path even in `http:///path`.
const noPath = 'unroutable'

function isDecodable(path: string): boolean {
  try {
    return !decodeURIComponent(path).includes('\u0000')
  } catch {
    return false
  }
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
