/** How a principal proved who it is. */
export type PrincipalVia = 'bearer' | 'cookie' | 'api-key' | 'gateway' | 'signature'

/**
 * Who is calling, after every way of proving it has been brought to one form.
 * `userId` is our own UUID; `subject` and `issuer` are those of the token that was shown.
 * For an API key `userId` is the key's id, `issuer` is `quayside:api-keys` and `scopes` are the
 * key's.
 */
export interface Principal {
  readonly userId: string
  readonly subject: string
  readonly issuer: string
  readonly sessionId?: string
  readonly roles: readonly string[]
  readonly scopes: readonly string[]
  /** Authenticator assurance, as in NIST SP 800-63B: one factor or two. */
  readonly assurance: 'aal1' | 'aal2'
  readonly claims: Readonly<Record<string, unknown>>
  readonly via: PrincipalVia
}

/** What a token verifier vouches for, before the subject is mapped to one of our users. */
export interface VerifiedToken {
  readonly issuer: string
  readonly subject: string
  readonly sessionId?: string
  readonly roles: readonly string[]
  readonly scopes: readonly string[]
  readonly assurance: 'aal1' | 'aal2'
  readonly claims: Readonly<Record<string, unknown>>
  readonly via: 'bearer' | 'gateway'
  /** Milliseconds since 1970 after which this verification no longer counts (at most the token's `exp`). */
  readonly validUntilMs: number
}

/** Maps a verified token to our user, creating the user on first sight. Identity provides it. */
export type ResolveUser = (token: VerifiedToken) => Promise<string>
