import { X509Certificate } from 'node:crypto'
import { isJsonObject } from './compact-jwt.ts'
import type { JwsHeader } from './compact-jwt.ts'
import { importVerificationKey } from './verification-key.ts'
import type { AsymmetricAlgorithm, VerificationKey } from './verification-key.ts'

/** The usable keys of one answer of a key server. */
export interface KeySet {
  /** `refused` means: the set has that `kid`, and a newer set would not change the answer. */
  find(header: JwsHeader): VerificationKey | 'refused' | undefined
}

/**
 * Reads a JWK set (RFC 7517 §5) or Google's map of `kid` to PEM certificate, told apart by shape.
 * Throws a plain Error when there is no usable key in it.
 */
export async function readKeySet(
  body: unknown,
  algorithms: readonly AsymmetricAlgorithm[],
): Promise<KeySet> {
  // A Map, not an object: `kid` comes from the token, and `__proto__` is a name like any other.
  const byKid = new Map<string, VerificationKey>()
  const all: VerificationKey[] = []
  for (const [kid, jwk] of listKeys(body).slice(0, keysMax)) {
    const key = await importVerificationKey(jwk, algorithms)
    if (key === undefined || (kid !== undefined && byKid.has(kid))) continue
    all.push(key)
    if (kid !== undefined) byKid.set(kid, key)
  }
  if (all.length === 0) throw new Error('The key server published no usable key')

  return {
    find({ kid, alg }) {
      const fitting = all.filter((key) => key.alg === alg)
      if (kid === undefined) return fitting.length === 1 ? fitting[0] : 'refused'
      const key = byKid.get(kid)
      return key === undefined || key.alg === alg ? key : 'refused'
    },
  }
}

const keysMax = 100

function listKeys(body: unknown): readonly (readonly [kid: string | undefined, jwk: unknown])[] {
  if (!isJsonObject(body)) return []
  if (!Array.isArray(body['keys'])) {
    return Object.entries(body).map(([kid, pem]) => [kid, jwkOfCertificate(pem)])
  }
  return body['keys'].filter(isJsonObject).map((jwk) => {
    const kid = jwk['kid']
    return [typeof kid === 'string' ? kid : undefined, jwk]
  })
}

function jwkOfCertificate(pem: unknown): unknown {
  if (typeof pem !== 'string') return undefined
  try {
    return new X509Certificate(pem).publicKey.export({ format: 'jwk' })
  } catch {
    return undefined
  }
}
