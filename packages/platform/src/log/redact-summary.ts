import { isStringObject } from 'node:util/types'

/**
 * Replaces objects that are huge or mean nothing field by field (requests, sockets, buffers,
 * dates) by a short text or a few fields. Undefined for everything else.
 */
export function summarise(value: object): string | Record<string, unknown> | undefined {
  if (value instanceof Date) {
    return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString()
  }
  if (value instanceof RegExp || value instanceof URL || isStringObject(value)) return String(value)
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer)
    return `[${value.byteLength} bytes]`
  if (value instanceof Blob) return `[${value.size} bytes]`
  if (value instanceof Response) return { status: value.status, url: value.url }
  if (value instanceof Request) return { method: value.method, url: value.url }
  return summariseHttp(value)
}

interface HttpLike {
  readonly method?: unknown
  readonly url?: unknown
  readonly id?: unknown
  readonly ip?: unknown
  readonly host?: unknown
  readonly path?: unknown
  readonly statusCode?: unknown
  readonly raw?: unknown
  readonly socket?: unknown
  readonly pipe?: unknown
  readonly setHeader?: unknown
}

// Recognised by shape: Node's, Fastify's and the test injector's are different classes.
function summariseHttp(value: HttpLike): string | Record<string, unknown> | undefined {
  const isLive = value.socket !== undefined || value.raw !== undefined
  if (isLive && typeof value.method === 'string' && typeof value.url === 'string') {
    const { id, method, url, host, ip } = value
    return { id, method, url, host, ip }
  }
  const isOutgoing = typeof value.setHeader === 'function'
  const isStream = typeof value.pipe === 'function'
  if ((isOutgoing || isStream || isLive) && typeof value.statusCode === 'number') {
    return { statusCode: value.statusCode }
  }
  if (isOutgoing) return { method: value.method, host: value.host, path: value.path }
  return isStream ? '[stream]' : undefined
}
