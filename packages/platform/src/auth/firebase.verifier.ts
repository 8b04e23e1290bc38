import type { Clock } from '../clock.ts'
import {
  namesIn,
  ownClaim,
  refuse,
  requireNumber,
  requireSubject,
  requireTimes,
  requireType,
} from './claims.ts'
import type { Claims } from './claims.ts'
import { isJsonObject } from './compact-jwt.ts'
import type { ParsedJwt } from './compact-jwt.ts'
import { assertSecureUrl } from './fetch-json.ts'
import type { Fetch } from './fetch-json.ts'
import { createFirebaseAccounts } from './firebase-accounts.ts'
import type { ServiceAccount } from './google-access-token.ts'
import { createKeyStore } from './key-store.ts'
import { requireSignature } from './token-signature.ts'
import type { TokenVerifier } from './verifier.ts'

export interface FirebaseVerifierDeps {
  readonly projectId: string
  /** Default: Google's endpoint for secure-token certificates. */
  readonly keysUrl?: string
  /** `host:port` of the Auth emulator. Its tokens are unsigned, so only `demo-` projects may. */
  readonly emulatorHost?: string
  /** Ask Firebase whether the user was disabled, deleted or signed out; remembered for 60 s. */
  readonly checkRevoked?: boolean
  /** Needed for `checkRevoked` outside the emulator. */
  readonly serviceAccount?: ServiceAccount
  readonly clock: Clock
  readonly fetch?: Fetch
}

/**
 * Verifies Firebase ID tokens, by all rules of Google's "verify ID tokens" page and with `exp`,
 * `iat` and `auth_time` required, which the Admin SDK does not ask for. Half a configuration, or
 * the emulator with a real project, throws at creation.
 */
export function createFirebaseVerifier(deps: FirebaseVerifierDeps): TokenVerifier {
  assertConfiguration(deps)
  const { projectId, emulatorHost, clock } = deps
  const issuer = `https://securetoken.google.com/${projectId}`
  const requireProof = emulatorHost === undefined ? createKeyProof(deps) : requireUnsigned
  const accounts = deps.checkRevoked === true ? createFirebaseAccounts(deps) : undefined

  return {
    name: emulatorHost === undefined ? 'firebase' : 'firebase-emulator',
    issuer,
    acceptsUnsigned: emulatorHost !== undefined,
    async verify(token, parsed) {
      const { header, claims } = parsed
      requireType(header.typ, ['jwt'])
      await requireProof(token, parsed)
      // Custom tokens carry Google's audience and session cookies another issuer.
      if (ownClaim(claims, 'iss') !== issuer) refuse('iss is not that of the project')
      if (ownClaim(claims, 'aud') !== projectId) refuse('aud is not the project')
      const subject = requireSubject(claims, 128)
      const nowMs = clock.now().getTime()
      const expMs = requireTimes(claims, nowMs, ['auth_time'])
      await accounts?.assertActive(subject, requireNumber(claims, 'auth_time'))
      return {
        issuer,
        subject,
        roles: [...namesIn(ownClaim(claims, 'roles')), ...singleRole(claims)],
        scopes: [],
        assurance: hasSecondFactor(claims) ? 'aal2' : 'aal1',
        claims,
        via: 'bearer',
        validUntilMs: accounts === undefined ? expMs : Math.min(expMs, nowMs + revocationLagMs),
      }
    },
  }
}

const googleKeysUrl =
  'https://www.googleapis.com/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com'

/** How long a revoked token may still pass when revocation is checked. */
const revocationLagMs = 60_000

type RequireProof = (token: string, parsed: ParsedJwt) => Promise<void>

function createKeyProof({
  keysUrl = googleKeysUrl,
  clock,
  fetch,
}: FirebaseVerifierDeps): RequireProof {
  assertSecureUrl(keysUrl, 'Firebase: keysUrl')
  const keys = createKeyStore({
    url: keysUrl,
    algorithms: ['RS256'],
    clock,
    ...(fetch === undefined ? {} : { fetch }),
  })
  return async (token, { header }) => {
    if (header.kid === undefined) refuse('kid is missing')
    await requireSignature(token, header, keys)
  }
}

/** The emulator's form and nothing else: a signed token does not come from it. */
const requireUnsigned: RequireProof = async (token, { header }) => {
  if (header.alg !== 'none' || !token.endsWith('.')) refuse('not a token of the emulator')
}

function singleRole(claims: Claims): readonly string[] {
  const role = ownClaim(claims, 'role')
  return typeof role === 'string' ? namesIn(role) : []
}

function hasSecondFactor(claims: Claims): boolean {
  const firebase = ownClaim(claims, 'firebase')
  if (!isJsonObject(firebase)) return false
  const factor = ownClaim(firebase, 'sign_in_second_factor')
  return typeof factor === 'string' && factor !== ''
}

function assertConfiguration(deps: FirebaseVerifierDeps): void {
  const { projectId, emulatorHost, checkRevoked = false, serviceAccount } = deps
  if (!/^[a-z0-9][a-z0-9.:-]{0,99}$/.test(projectId)) {
    throw new Error('Firebase: the project id is missing or malformed')
  }
  if (emulatorHost !== undefined && !projectId.startsWith('demo-')) {
    throw new Error(
      'Firebase: the Auth emulator issues unsigned tokens, so it is allowed only with a project id that starts with demo-',
    )
  }
  if (emulatorHost !== undefined && !/^(\[[\da-f:]+\]|[\w.-]+):\d{1,5}$/i.test(emulatorHost)) {
    throw new Error('Firebase: the emulator host must have the form host:port')
  }
  if (checkRevoked && emulatorHost === undefined && serviceAccount === undefined) {
    throw new Error('Firebase: checking for revoked tokens needs a service account')
  }
}
