import type { Redactor } from './redact.ts'

/**
 * The path and query of a request as they may be logged: the path scrubbed, query values hidden by
 * name, scrubbed by pattern, and cut when longer than 64 characters.
 */
export function redactUrl(url: string, redactor: Redactor): string {
  if (isPlainPath(firstPageOf(url))) return url
  const mark = url.indexOf('?')
  const path = shorten(redactor.text(mark < 0 ? url : url.slice(0, mark)), pathMax)
  if (mark < 0) return path
  const pairs = url.slice(mark + 1, mark + 1 + queryMax).split('&', pairsMax + 1)
  const shown = pairs.slice(0, pairsMax).map((pair) => redactPair(pair, redactor))
  if (pairs.length > pairsMax || url.length > mark + 1 + queryMax) shown.push('…')
  return `${path}?${shown.join('&')}`
}

const pathMax = 1024
const queryMax = 8192
const pairsMax = 30
const valueMax = 64

/**
 * The fast way out, taken by nearly every request: segments that are words, versions, short
 * numbers or UUIDs cannot hold anything the patterns look for.
 */
export function isPlainPath(url: string): boolean {
  return url.length <= 200 && plainPath.test(url)
}

const plainPath =
  /^(?:\/(?:[A-Za-z._~-]{1,15}|v\d{1,3}|\d{1,9}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|))+$/

/** The path of `/things?limit=20`, which is how most pages are asked for; else the URL itself. */
function firstPageOf(url: string): string {
  const mark = url.indexOf('?limit=')
  return mark >= 0 && shortNumber.test(url.slice(mark + 7)) ? url.slice(0, mark) : url
}

const shortNumber = /^\d{1,3}$/

function redactPair(pair: string, redactor: Redactor): string {
  const mark = pair.indexOf('=')
  if (mark < 0) return shorten(redactor.text(pair), valueMax)
  const name = decodeName(pair.slice(0, mark))
  const { kind, shown } = redactor.queryName(name)
  const label = shorten(shown, valueMax)
  if (kind === 'secret' || kind === 'password') return `${label}=[redacted]`
  const value = pair.slice(mark + 1)
  if (value.length > valueMax) return `${label}=[${value.length} characters]`
  if (kind === 'plain' && plainValue.test(value)) return `${label}=${value}`
  // Scrubbed with its name, so that a phone number without a plus is known by it.
  const clean = redactor.text(`${name}=${value}`)
  return `${label}=${clean.startsWith(`${name}=`) ? clean.slice(name.length + 1) : '[redacted]'}`
}

// Words, short numbers, days and UUIDs.
const plainValue =
  /^(?:[A-Za-z_.]{1,15}|\d{1,9}|\d{4}-\d\d-\d\d|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$/

// After scrubbing, never before: a secret cut in two is no longer recognised.
function shorten(text: string, max: number): string {
  return text.length > max ? `${text.slice(0, max)}…` : text
}

function decodeName(name: string): string {
  if (!/[%+]/.test(name)) return name
  try {
    return decodeURIComponent(name.slice(0, 256).replaceAll('+', ' '))
  } catch {
    return name
  }
}
