import { generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto'
import { selfSignedCertificate } from './certificate.ts'

export type Members = Readonly<Record<string, unknown>>

/** One of the keys that Google would sign with. */
export interface SigningKey {
  readonly kid: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  readonly certificate: string
}

export function createSigningKey(): SigningKey {
  const keys = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return { kid: randomUUID(), ...keys, certificate: selfSignedCertificate(keys) }
}

/** The document at Google's address: certificates by key id. */
export function certificatesOf(...keys: SigningKey[]): Record<string, string> {
  return Object.fromEntries(keys.map(({ kid, certificate }) => [kid, certificate]))
}

export const projectId = 'quayside-e2e'

/** The claims of an ordinary ID token; `undefined` takes one away. */
export function firebaseClaims(changes: Members = {}): Members {
  const nowS = Math.floor(Date.now() / 1000)
  return {
    iss: `https://securetoken.google.com/${projectId}`,
    aud: projectId,
    auth_time: nowS - 120,
    user_id: 'alice',
    sub: 'alice',
    iat: nowS - 60,
    exp: nowS + 3540,
    email: 'alice@example.com',
    email_verified: false,
    firebase: { identities: { email: ['alice@example.com'] }, sign_in_provider: 'password' },
    ...changes,
  }
}

/** Signs as Google does, or with whatever header and signature function the attack needs. */
export function signToken(
  claims: Members,
  key: SigningKey,
  {
    header = {},
    signer = (input) => sign('sha256', Buffer.from(input), key.privateKey),
  }: { readonly header?: Members; readonly signer?: (input: string) => Buffer } = {},
): string {
  const input = `${encode({ alg: 'RS256', kid: key.kid, typ: 'JWT', ...header })}.${encode(claims)}`
  return `${input}.${signer(input).toString('base64url')}`
}

export function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
