import { isPlainPath } from '../log/redact-url.ts'

/**
 * The path of a request target as it may leave this machine: without query, and with every segment
 * replaced that is more than a word, a short number or a UUID. Traces go to another party than
 * logs, so here the shape of what is harmless decides, not the shape of known secrets.
 */
export function safePath(target: string): string {
  const path = target.split(/[?#]/, 1)[0] ?? ''
  if (isPlainPath(path)) return path
  if (path.length > lengthMax || !path.startsWith('/')) return hidden
  const segments = path.split('/').slice(1)
  return segments.map((segment) => (isPlainPath(`/${segment}`) ? `/${segment}` : hidden)).join('')
}

const lengthMax = 1024
const hidden = '/REDACTED'
