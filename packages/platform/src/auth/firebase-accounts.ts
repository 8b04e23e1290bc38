import { AppError } from '../errors.ts'
import type { Clock } from '../clock.ts'
import { ownClaim, refuse } from './claims.ts'
import { isJsonObject } from './compact-jwt.ts'
import { fetchJson } from './fetch-json.ts'
import type { Fetch } from './fetch-json.ts'
import { createGoogleAccessToken } from './google-access-token.ts'
import type { ServiceAccount } from './google-access-token.ts'
import { unavailable } from './key-store.ts'

export interface FirebaseAccountsDeps {
  readonly projectId: string
  readonly emulatorHost?: string
  readonly serviceAccount?: ServiceAccount
  readonly clock: Clock
  readonly fetch?: Fetch
}

export interface FirebaseAccounts {
  /**
   * Throws `token_invalid` if the user is gone, disabled, or signed out everywhere after
   * `authTimeS` (seconds since 1970), and `keys_unavailable` if Firebase cannot be asked.
   */
  assertActive(userId: string, authTimeS: number): Promise<void>
}

/** Asks Identity Toolkit's `accounts:lookup`, of Google or of the emulator. */
export function createFirebaseAccounts(deps: FirebaseAccountsDeps): FirebaseAccounts {
  const { projectId, emulatorHost, fetch = globalThis.fetch } = deps
  const origin =
    emulatorHost === undefined
      ? 'https://identitytoolkit.googleapis.com'
      : `http://${emulatorHost}/identitytoolkit.googleapis.com`
  const url = `${origin}/v1/projects/${encodeURIComponent(projectId)}/accounts:lookup`
  const credential = createCredential(deps, fetch)

  async function lookUp(userId: string): Promise<unknown> {
    const accessToken = await credential.get()
    try {
      const answer = await fetchJson(fetch, url, {
        method: 'POST',
        headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
        body: JSON.stringify({ localId: [userId] }),
      })
      return answer.body
    } catch (error) {
      // The access token may have been withdrawn before its time; the next try fetches another.
      credential.forget()
      throw error
    }
  }

  return {
    async assertActive(userId, authTimeS) {
      try {
        requireActive(await lookUp(userId), userId, authTimeS)
      } catch (error) {
        throw error instanceof AppError ? error : unavailable(error)
      }
    },
  }
}

interface Credential {
  get(): Promise<string>
  forget(): void
}

function createCredential(
  { emulatorHost, serviceAccount, clock }: FirebaseAccountsDeps,
  fetch: Fetch,
): Credential {
  // The emulator's administrator goes by this fixed name.
  if (emulatorHost !== undefined) return { get: () => Promise.resolve('owner'), forget() {} }
  if (serviceAccount === undefined) throw new Error('Firebase: the service account is missing')
  const scope = 'https://www.googleapis.com/auth/identitytoolkit'
  return createGoogleAccessToken({ account: serviceAccount, scope, clock, fetch })
}

function requireActive(body: unknown, userId: string, authTimeS: number): void {
  if (!isJsonObject(body)) throw new Error('accounts:lookup answered no JSON object')
  // Identity Toolkit leaves `users` out when there is nobody to list.
  const users = ownClaim(body, 'users') ?? []
  if (!Array.isArray(users)) throw new Error('accounts:lookup answered no list of users')
  const user = users.filter(isJsonObject).find((found) => found['localId'] === userId)
  if (user === undefined) return refuse('the user no longer exists')
  if (user['disabled'] === true) refuse('the user is disabled')
  const validSince = user['validSince']
  if (validSince === undefined) return
  // auth_time, not iat: a refreshed token has a new iat but the old sign-in.
  if (!(authTimeS >= readSeconds(validSince))) refuse('the sign-in was revoked')
}

function readSeconds(validSince: unknown): number {
  if (typeof validSince === 'string' && /^\d{1,15}$/.test(validSince)) return Number(validSince)
  throw new Error('accounts:lookup answered a malformed validSince')
}
