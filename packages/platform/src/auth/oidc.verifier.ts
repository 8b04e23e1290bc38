import type { Clock } from '../clock.ts'
import {
  namesIn,
  ownClaim,
  readScopes,
  refuse,
  requireSubject,
  requireTimes,
  requireType,
  sessionFrom,
} from './claims.ts'
import type { Claims } from './claims.ts'
import { isJsonObject } from './compact-jwt.ts'
import type { Fetch } from './fetch-json.ts'
import { createOidcKeys } from './oidc-keys.ts'
import { requireSignature } from './token-signature.ts'
import type { TokenVerifier } from './verifier.ts'

export interface OidcVerifierDeps {
  readonly name?: string
  readonly issuer: string
  readonly audience: string | readonly string[]
  /** Asymmetric ones, or exactly `['HS256']` together with `secret`. */
  readonly algorithms: readonly string[]
  /** Default: what the issuer's discovery document says. */
  readonly jwksUri?: string
  /** The shared secret for HS256, at least 32 bytes. */
  readonly secret?: string
  /** Claims that must be there (a list of names), or must have exactly this value. */
  readonly requiredClaims?: readonly string[] | Readonly<Record<string, unknown>>
  /** Where the roles are: the whole name of a claim, else a path like `realm_access.roles`. */
  readonly rolesClaim?: string
  /** If given, the token must have been issued to one of these clients (`azp` or `client_id`). */
  readonly authorizedParties?: readonly string[]
  readonly clock: Clock
  readonly fetch?: Fetch
}

/**
 * Verifies tokens of any OpenID provider, Supabase included (OpenID Connect Core §3.1.3.7,
 * RFC 9068 §4). Half a configuration, such as an issuer without an audience, throws at creation.
 */
export function createOidcVerifier(deps: OidcVerifierDeps): TokenVerifier {
  const { issuer, clock, rolesClaim } = deps
  const audiences = typeof deps.audience === 'string' ? [deps.audience] : deps.audience
  assertConfiguration(deps, audiences)
  const required = readRequiredClaims(deps.requiredClaims)
  const keys = createOidcKeys(deps)

  return {
    name: deps.name ?? 'oidc',
    issuer,
    async verify(token, { header, claims }) {
      requireType(header.typ, ['jwt', 'at+jwt', 'application/at+jwt'])
      await requireSignature(token, header, keys)
      if (ownClaim(claims, 'iss') !== issuer) refuse('iss is not the configured one')
      requireAudience(claims, audiences)
      requireAuthorizedParty(claims, deps.authorizedParties)
      for (const isMet of required) isMet(claims)
      const subject = requireSubject(claims, 255)
      return {
        issuer,
        subject,
        ...sessionFrom(claims, ['session_id', 'sid']),
        roles: rolesClaim === undefined ? [] : namesIn(claimAt(claims, rolesClaim)),
        scopes: readScopes(claims),
        assurance: ownClaim(claims, 'aal') === 'aal2' ? 'aal2' : 'aal1',
        claims,
        via: 'bearer',
        validUntilMs: requireTimes(claims, clock.now().getTime()),
      }
    },
  }
}

function requireAudience(claims: Claims, audiences: readonly string[]): void {
  const aud = ownClaim(claims, 'aud')
  const named: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  if (!named.every((name) => typeof name === 'string')) {
    refuse('aud is missing or holds something else than text')
  }
  if (!audiences.some((audience) => named.includes(audience))) refuse('aud is not ours')
}

/** A sibling client of the same provider gets tokens with our audience too (CVE-2026-30949). */
function requireAuthorizedParty(claims: Claims, parties: readonly string[] | undefined): void {
  if (parties === undefined) return
  const named = ['azp', 'client_id'].flatMap((name) => {
    const value = ownClaim(claims, name)
    return value === undefined ? [] : [value]
  })
  const isAuthorized = (party: unknown) => typeof party === 'string' && parties.includes(party)
  if (named.length === 0 || !named.every(isAuthorized)) refuse('issued to another client')
}

type ClaimRule = (claims: Claims) => void

function readRequiredClaims(required: OidcVerifierDeps['requiredClaims'] = []): ClaimRule[] {
  if (isNameList(required)) {
    return required.map((name) => (claims) => {
      // `null` counts as absent: a claim that says nothing must not satisfy a rule.
      if ((ownClaim(claims, name) ?? null) === null) refuse(`${name} is missing`)
    })
  }
  return Object.entries(required).map(([name, value]) => {
    if (value === undefined || (typeof value === 'object' && value !== null)) {
      throw new Error(`The required claim ${name} must be given text, a number, a boolean or null`)
    }
    return (claims) => {
      if (ownClaim(claims, name) !== value) refuse(`${name} has another value`)
    }
  })
}

function isNameList(
  required: NonNullable<OidcVerifierDeps['requiredClaims']>,
): required is readonly string[] {
  return Array.isArray(required)
}

/** The whole name first: Auth0's `https://example.com/roles` is one name, though it has dots. */
function claimAt(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name]
  return name
    .split('.')
    .reduce<unknown>((at, step) => (isJsonObject(at) ? ownClaim(at, step) : undefined), claims)
}

function assertConfiguration(deps: OidcVerifierDeps, audiences: readonly string[]): void {
  if (deps.issuer === '') throw new Error('An identity provider has no issuer')
  const say = (problem: string) => new Error(`The issuer ${deps.issuer} ${problem}`)
  // An unset audience would silently accept tokens meant for anybody else (CVE-2026-30863).
  if (audiences.length === 0 || !audiences.every(isText)) throw say('has no audience')
  if (deps.rolesClaim === '') throw say('has an empty rolesClaim')
  const parties = deps.authorizedParties
  if (parties !== undefined && (parties.length === 0 || !parties.every(isText))) {
    throw say('has an empty list of authorized parties')
  }
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== ''
}
