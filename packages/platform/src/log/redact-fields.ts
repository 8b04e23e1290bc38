import { maskEmail, maskPhone } from './redact-contacts.ts'
import { isWord } from './redact-formats.ts'
import type { KeyKind } from './redact-keys.ts'
import { classifyKey, classifyQueryName, isHeaderLine, isPublicCode } from './redact-keys.ts'

/** What the text rules need to know besides the text. */
export interface FieldOptions {
  readonly hidesContacts: boolean
  /** Told of each secret value found, so that its other appearances can be removed as well. */
  readonly onSecret?: (value: string) => void
}

/**
 * Redacts `name: value` and `name=value` by name wherever they stand in a text: JSON (also escaped
 * inside JSON), query strings, form bodies, header lines, `util.inspect` output, connection strings.
 */
export function redactFields(text: string, options: FieldOptions): string {
  const field = new RegExp(fieldName)
  let result = ''
  let done = 0
  for (let match = field.exec(text); match; match = field.exec(text)) {
    const start = field.lastIndex
    const kind = fieldKind(match[1] ?? '', text[match.index - 1])
    if (kind === 'plain' || kind === 'id') continue
    const value = findValue(text, start, match[1] ?? '', kind)
    const replacement = replaceValue(value, kind, /\s$/.test(match[0]), options)
    result += text.slice(done, value.start) + replacement
    done = value.end
    field.lastIndex = Math.max(value.end, start)
  }
  return result + text.slice(done)
}

// A name starts where a word starts and is at most 64 characters, so each word is read once.
// After it may come its closing quote (escaped up to three times over), an index, a bracket.
const fieldName =
  /(?<![A-Za-z0-9_])([A-Za-z_][\w.-]{0,63})(?:\\{0,7}["'`]|\[[\w-]{0,20}\]|[\])]){0,2}\s{0,4}(?:=>|[:=])\s{0,4}/g

interface Value {
  readonly start: number
  readonly end: number
  readonly text: string
  readonly isQuoted: boolean
}

function fieldKind(name: string, before: string | undefined): KeyKind {
  return before === '?' || before === '&' ? classifyQueryName(name) : classifyKey(name)
}

function findValue(text: string, start: number, name: string, kind: KeyKind): Value {
  const quote = matchAt(/\\{0,7}["'`]/y, text, start)
  if (quote !== '') return quotedValue(text, start, quote)
  const opener = text[start]
  if (opener === '[' || opener === '{' || opener === '(') return bracketValue(text, start)
  if (isHeaderLine(name)) return bareValue(text, start, /[^\r\n"'<>\\]*/y)
  if (kind === 'phone') return bareValue(text, start, /[+\d][\d\s().\-/]{0,24}/y)
  return bareValue(text, start, /(?:(?:Bearer|Basic|Api-?Key|Digest|DPoP)\s{1,3})?[^\s&"'<>]*/iy)
}

function quotedValue(text: string, start: number, quote: string): Value {
  const from = start + quote.length
  let end = text.indexOf(quote, from)
  // A quote with more backslashes belongs to the value.
  while (end > from && text[end - 1] === '\\') end = text.indexOf(quote, end + quote.length)
  if (end < 0) end = text.length
  return { start: from, end, text: text.slice(from, end), isQuoted: true }
}

function bracketValue(text: string, start: number): Value {
  let depth = 0
  let end = start
  for (; end < text.length; end++) {
    const character = text.charAt(end)
    if ('[{('.includes(character)) depth++
    else if (']})'.includes(character) && --depth === 0) break
  }
  return { start: start + 1, end, text: text.slice(start + 1, end), isQuoted: true }
}

function bareValue(text: string, start: number, pattern: RegExp): Value {
  const found = matchAt(pattern, text, start)
  const value = found.endsWith(marker) ? found : found.replace(/[\s,;)\]}]{1,16}$/, '')
  return { start, end: start + value.length, text: value, isQuoted: false }
}

function matchAt(pattern: RegExp, text: string, start: number): string {
  pattern.lastIndex = start
  return pattern.exec(text)?.[0] ?? ''
}

function replaceValue(value: Value, kind: KeyKind, spaced: boolean, options: FieldOptions): string {
  const { text } = value
  if (kind === 'email' || kind === 'phone') return maskField(text, kind, options)
  // A bracketed value keeps its brackets, so there the marker of an earlier pass is `redacted`.
  if (text === marker || text === 'redacted' || mayStay(value, kind, spaced)) return text
  options.onSecret?.(text)
  return marker
}

function mayStay({ text, isQuoted }: Value, kind: KeyKind, spaced: boolean): boolean {
  if (text === '' || literals.has(text)) return true
  if (kind === 'code') return isPublicCode(text, false)
  if (kind === 'session') return uuid.test(text)
  // `Invalid token: expired` is a sentence; a password may be a plain word, so there it goes.
  return kind === 'secret' && spaced && !isQuoted && isWord(text)
}

function maskField(text: string, kind: 'email' | 'phone', options: FieldOptions): string {
  if (!options.hidesContacts) return text
  if (kind === 'phone') return /\d/.test(text) ? maskPhone(text) : text
  return /^[^\s@,]{1,320}@[^\s@,]{1,255}$/.test(text) ? maskEmail(text) : text
}

const marker = '[redacted]'
const literals = new Set(['true', 'false', 'null', 'undefined'])
const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
