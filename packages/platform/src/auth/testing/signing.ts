import { CompactSign, exportJWK, generateKeyPair } from 'jose'
import type { CryptoKey, JWK } from 'jose'
import { AppError } from '../../errors.ts'
import { readCompactJwt } from '../compact-jwt.ts'
import type { CompactFormatOptions, ParsedJwt } from '../compact-jwt.ts'

export interface SigningKey {
  readonly alg: string
  readonly kid: string
  readonly privateKey: CryptoKey
  readonly publicJwk: JWK
}

/** A fresh key pair; `publicJwk` is as a provider would publish it. */
export async function makeSigningKey(alg: string, kid: string): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  const publicJwk = { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }
  return { alg, kid, privateKey, publicJwk }
}

/** Signs any claims under any header, also nonsense; `undefined` members are left out. */
export async function signToken(
  key: SigningKey,
  claims: unknown,
  header: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const protectedHeader = withoutUndefined({ alg: key.alg, kid: key.kid, typ: 'JWT', ...header })
  return new CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
    .setProtectedHeader({ alg: key.alg, ...protectedHeader })
    .sign(key.privateKey)
}

/** base64url of the JSON of each part and the signature, for tokens no library would make. */
export function assembleToken(header: unknown, claims: unknown, signature: string): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part(header)}.${part(claims)}.${signature}`
}

function withoutUndefined(record: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined))
}

/** Parses a token that is known to have the right form. */
export function parse(token: string, options?: CompactFormatOptions): ParsedJwt {
  const parsed = readCompactJwt(token, options)
  if (parsed === undefined) throw new Error('The test token has a wrong form')
  return parsed
}

/** The code of the AppError a promise rejects with, or `accepted`. Other errors pass through. */
export async function outcome(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'accepted'
  } catch (error) {
    if (error instanceof AppError) return error.code
    throw error
  }
}

/** A clock that stands still until it is moved. */
export function standingClock(start = '2026-06-01T12:00:00Z') {
  let ms = Date.parse(start)
  return {
    now: () => new Date(ms),
    nowS: () => ms / 1000,
    advanceS(seconds: number) {
      ms += seconds * 1000
    },
  }
}

export type StandingClock = ReturnType<typeof standingClock>
