import { isUtf8 } from 'node:buffer'

/**
 * What a verifier may know of a token's header. `jku`, `x5u`, `jwk` and `x5c` are left out on
 * purpose: what cannot be read cannot be followed (RFC 8725 §3.10).
 */
export interface JwsHeader {
  readonly alg: string
  readonly kid: string | undefined
  readonly typ: string | undefined
}

/** A compact JWS whose form is right and whose signature nobody has checked yet. */
export interface ParsedJws {
  readonly header: JwsHeader
  readonly payload: Buffer
}

/** A compact JWT whose form is right and whose signature nobody has checked yet. */
export interface ParsedJwt {
  readonly header: JwsHeader
  readonly claims: Readonly<Record<string, unknown>>
}

export interface CompactFormatOptions {
  /** Lets the third part be empty, as the Firebase Auth emulator's tokens have it. */
  readonly allowEmptySignature?: boolean
}

/** A token longer than this many bytes is refused unread. */
export const tokenBytesMax = 8192

/**
 * Reads a compact JWT (RFC 7519) strictly; `undefined` for anything that is not exactly one.
 * The result is unverified: it may choose a verifier, and nothing else.
 */
export function readCompactJwt(
  token: string,
  options: CompactFormatOptions = {},
): ParsedJwt | undefined {
  const jws = readCompactJws(token, options)
  if (jws === undefined) return undefined
  const claims = parseObject(jws.payload)
  return claims === undefined ? undefined : { header: jws.header, claims }
}

/**
 * Reads a compact JWS (RFC 7515 §7.1) strictly: only the base64url alphabet and two dots, no
 * padding, no bits left over, at most `tokenBytesMax` bytes, a JSON object as header with a
 * string `alg`. A header with `crit` is refused: there is no extension we understand.
 */
export function readCompactJws(
  token: string,
  options: CompactFormatOptions = {},
): ParsedJws | undefined {
  if (token.length > tokenBytesMax || !compactShape.test(token)) return undefined
  const [headerBytes, payload, signature] = token.split('.').map(decodeCanonical)
  if (headerBytes === undefined || payload === undefined || signature === undefined)
    return undefined
  if (signature.length === 0 && options.allowEmptySignature !== true) return undefined

  const header = readHeader(headerBytes)
  return header === undefined ? undefined : { header, payload }
}

// jose skips characters outside the alphabet, so one token would have many spellings and a
// deny-list or cache keyed by the text could be walked around. The BCP asks to refuse them.
const compactShape = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/

/** The last character may carry bits that no byte takes; they must be zero, or it is a respelling. */
function decodeCanonical(part: string): Buffer | undefined {
  const bytes = Buffer.from(part, 'base64url')
  return bytes.toString('base64url') === part ? bytes : undefined
}

function readHeader(bytes: Buffer): JwsHeader | undefined {
  const header = parseObject(bytes)
  if (header === undefined || Object.hasOwn(header, 'crit')) return undefined
  const { alg, kid, typ } = header
  if (typeof alg !== 'string') return undefined
  if (kid !== undefined && typeof kid !== 'string') return undefined
  if (typ !== undefined && typeof typ !== 'string') return undefined
  return { alg, kid, typ }
}

function parseObject(bytes: Buffer): Readonly<Record<string, unknown>> | undefined {
  // Invalid UTF-8 would decode to U+FFFD, and two different subjects would become one.
  if (!isUtf8(bytes)) return undefined
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    return isJsonObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Tells a JSON object from arrays, null and scalars. */
export function isJsonObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
