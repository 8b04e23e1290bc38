import { compactVerify, errors, importJWK } from 'jose'
import type { CryptoKey } from 'jose'
import { isJsonObject } from './compact-jwt.ts'

/** The asymmetric algorithms that may be configured. An allow-list: nothing else is ever tried. */
export const asymmetricAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const

export type AsymmetricAlgorithm = (typeof asymmetricAlgorithms)[number]

/** A key together with the only algorithm it may be used with (RFC 8725 §3.1). */
export interface VerificationKey {
  readonly alg: AsymmetricAlgorithm | 'HS256'
  readonly key: CryptoKey | Uint8Array
}

/** Whether the token's signature is right under this key and this key's one algorithm. */
export async function hasValidSignature(
  token: string,
  { alg, key }: VerificationKey,
): Promise<boolean> {
  try {
    await compactVerify(token, key, { algorithms: [alg] })
    return true
  } catch (error) {
    if (error instanceof errors.JOSEError) return false
    throw error
  }
}

/**
 * Makes a verification key of a public JWK (RFC 7517). `undefined` for keys that must not verify
 * anything here: symmetric or private ones, encryption keys, RSA below 2048 bits, other algorithms.
 */
export async function importVerificationKey(
  jwk: unknown,
  algorithms: readonly AsymmetricAlgorithm[],
): Promise<VerificationKey | undefined> {
  if (!isJsonObject(jwk) || !isPublicSigningKey(jwk) || !hasUsableExponent(jwk)) return undefined
  const alg = algorithmFor(jwk, algorithms)
  if (alg === undefined) return undefined
  const key = await importPublic(jwk, alg)
  return key === undefined || !isStrong(key) ? undefined : { alg, key }
}

type JwkObject = Readonly<Record<string, unknown>>

function isPublicSigningKey(jwk: JwkObject): boolean {
  // A published private key is everybody's key; a symmetric one would be a password on a website.
  if (Object.hasOwn(jwk, 'd') || Object.hasOwn(jwk, 'k')) return false
  if (jwk['use'] !== undefined && jwk['use'] !== 'sig') return false
  const operations = jwk['key_ops']
  return operations === undefined || (Array.isArray(operations) && operations.includes('verify'))
}

/**
 * One key, one algorithm: the key's own `alg` decides. A key without one (Microsoft publishes
 * such) takes the first configured algorithm that fits its type, and only that one.
 */
function algorithmFor(
  jwk: JwkObject,
  algorithms: readonly AsymmetricAlgorithm[],
): AsymmetricAlgorithm | undefined {
  const fitting = algorithms.filter((alg) => fits(jwk, alg))
  return jwk['alg'] === undefined ? fitting[0] : fitting.find((alg) => alg === jwk['alg'])
}

function fits(jwk: JwkObject, alg: AsymmetricAlgorithm): boolean {
  const [kty, crv] = keyTypes[alg]
  return jwk['kty'] === kty && (crv === undefined || jwk['crv'] === crv)
}

const rsa = ['RSA', undefined] as const

/** RFC 7518 §3.1 and RFC 8037: the type of key, and the curve, that each algorithm takes. */
const keyTypes = {
  RS256: rsa,
  RS384: rsa,
  RS512: rsa,
  PS256: rsa,
  PS384: rsa,
  PS512: rsa,
  ES256: ['EC', 'P-256'],
  ES384: ['EC', 'P-384'],
  ES512: ['EC', 'P-521'],
  EdDSA: ['OKP', 'Ed25519'],
  Ed25519: ['OKP', 'Ed25519'],
} as const satisfies Record<AsymmetricAlgorithm, readonly [kty: string, crv: string | undefined]>

async function importPublic(
  jwk: JwkObject,
  alg: AsymmetricAlgorithm,
): Promise<CryptoKey | undefined> {
  // Only the public numbers go on, so that no other member can steer the import.
  const numbers = Object.fromEntries(
    ['kty', 'crv', 'x', 'y', 'n', 'e'].flatMap((name) =>
      typeof jwk[name] === 'string' ? [[name, jwk[name]]] : [],
    ),
  )
  try {
    const key = await importJWK(numbers, alg)
    return key instanceof Uint8Array ? undefined : key
  } catch {
    return undefined
  }
}

function isStrong({ algorithm }: CryptoKey): boolean {
  if (!('modulusLength' in algorithm)) return true
  const bits = Number(algorithm.modulusLength)
  return bits >= rsaBitsMin && bits <= rsaBitsMax
}

const rsaBitsMin = 2048
// Verification time grows with the square of the size; no provider publishes more.
const rsaBitsMax = 8192

/** With the RSA exponent 1 every padded message is its own signature; even ones are no exponents. */
function hasUsableExponent({ kty, e }: JwkObject): boolean {
  if (kty !== 'RSA') return true
  const hex = typeof e === 'string' ? Buffer.from(e, 'base64url').toString('hex') : ''
  const exponent = BigInt(`0x0${hex}`)
  return exponent >= 3n && exponent % 2n === 1n
}
