import type { ParsedJwt } from './compact-jwt.ts'
import type { VerifiedToken } from './principal.ts'

/**
 * Vouches for the tokens of one issuer. `verify` throws `token_invalid`, `token_expired` or, when
 * the question cannot be answered now, `keys_unavailable`.
 */
export interface TokenVerifier {
  /** Short name for logs and the start banner. */
  readonly name: string
  /** The exact `iss` of the tokens this verifier is asked about. */
  readonly issuer: string
  /** True only for the Firebase Auth emulator, whose tokens have an empty signature. */
  readonly acceptsUnsigned?: boolean
  verify(token: string, parsed: ParsedJwt): Promise<VerifiedToken>
}
