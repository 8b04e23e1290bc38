import { removeBlobs, removeEncodedTexts } from './redact-blobs.ts'
import { maskContacts } from './redact-contacts.ts'
import type { FieldOptions } from './redact-fields.ts'
import { redactFields } from './redact-fields.ts'
import { removeKnownFormats } from './redact-formats.ts'

/** How a text is scrubbed. */
export interface ScrubOptions extends FieldOptions {
  /** False for correlation ids, which look random on purpose. */
  readonly hidesBlobs: boolean
}

/**
 * Removes what must not be logged from a text of any length, in linear time. Every form is looked
 * at: as it stands and with percent, JSON, hex and HTML escapes taken off, up to three layers deep.
 * When only a decoded form shows a secret, the decoded form is what is returned, redacted.
 */
export function scrubText(text: string, options: ScrubOptions): string {
  if (isHarmless(text)) return text
  let current = scrubOnce(text, options)
  let layer = current
  for (let depth = 0; depth < 3; depth++) {
    const decoded = decodeEscapes(layer)
    if (decoded === layer) break
    layer = scrubOnce(decoded, options)
    if (layer !== decoded) current = layer
  }
  // By looks only at the bottom: an escape in the middle of a long run hides how long it is.
  const clean = removeByLooks(layer, options)
  return clean === layer ? removeByLooks(current, options) : clean
}

/** Takes one layer of `%40`, `\u0040`, `\x40`, `\/` and `&#64;` escapes off. */
export function decodeEscapes(text: string): string {
  let plain = text
  if (plain.includes('%')) plain = plain.replace(/(?:%[0-9a-f]{2})+/gi, decodePercent)
  if (plain.includes('\\')) {
    plain = plain
      .replace(
        /(?<!\\)\\+(?:u([0-9a-f]{4})|x([0-9a-f]{2}))/gi,
        (_, long?: string, short?: string) =>
          String.fromCharCode(Number.parseInt(long ?? short ?? '', 16)),
      )
      .replace(/(?<!\\)\\+\//g, '/')
  }
  if (plain.includes('&#')) plain = plain.replace(/&#(x?)([0-9a-f]{1,6});/gi, decodeEntity)
  return plain
}

// Most logged texts are plain words, short identifiers or UUIDs; this spares them the rest.
function isHarmless(text: string): boolean {
  if (text.length < 5) return true
  if (text.length <= 12 && shortWord.test(text)) return !scheme.test(text) && !sixDigits.test(text)
  return (
    (plainWords.test(text) && !longWord.test(text) && !scheme.test(text)) || uuidOnly.test(text)
  )
}

// Too short for any key format, and for a phone number or one-time code it needs six digits.
const shortWord = /^[A-Za-z0-9 /-]*$/
const sixDigits = /(?:\d\D{0,12}){6}/
const plainWords = /^(?:[A-Za-z ,'!()-]|\.(?= |$))*$/
const longWord = /[A-Za-z-]{12}/
const scheme = /\b(?:bearer|basic|api-?key|digest|negotiate|dpop)\b/i
const uuidOnly = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

// The order matters: whole formats first, then by name, then what is left of contacts.
function scrubOnce(text: string, options: ScrubOptions): string {
  let clean = removeKnownFormats(text)
  if (/[:=]/.test(clean)) clean = redactFields(clean, options)
  return options.hidesContacts ? maskContacts(clean) : clean
}

function removeByLooks(text: string, options: ScrubOptions): string {
  return options.hidesBlobs ? removeBlobs(text, options.hidesContacts) : removeEncodedTexts(text)
}

function decodePercent(escapes: string): string {
  return Buffer.from(escapes.replaceAll('%', ''), 'hex').toString('utf8')
}

function decodeEntity(entity: string, isHex: string, digits: string): string {
  const code = Number.parseInt(digits, isHex === '' ? 10 : 16)
  return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : entity
}
