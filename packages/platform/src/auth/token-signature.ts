import { refuse } from './claims.ts'
import type { JwsHeader } from './compact-jwt.ts'
import type { KeyStore } from './key-store.ts'
import { hasValidSignature } from './verification-key.ts'

/** Refuses the token unless a key of this store signed it; throws `keys_unavailable` as the store does. */
export async function requireSignature(
  token: string,
  header: JwsHeader,
  keys: KeyStore,
): Promise<void> {
  const key = await keys.find(header)
  if (key === undefined) return refuse('no configured key has this kid and algorithm')
  if (!(await hasValidSignature(token, key))) refuse('the signature is wrong')
}
