import { createPrivateKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { SignJWT } from 'jose'
import type { Clock } from '../clock.ts'
import { isJsonObject } from './compact-jwt.ts'
import { assertSecureUrl, fetchJson } from './fetch-json.ts'
import type { Fetch } from './fetch-json.ts'

/** The members used of a Google service account's key file, named as in that file. */
export interface ServiceAccount {
  readonly client_email: string
  readonly private_key: string
  readonly token_uri: string
}

export interface GoogleAccessTokenDeps {
  readonly account: ServiceAccount
  readonly scope: string
  readonly clock: Clock
  readonly fetch: Fetch
}

export interface GoogleAccessToken {
  /** Throws a plain Error when Google does not give one. */
  get(): Promise<string>
  /** Drops the kept token, so that the next `get` fetches another. */
  forget(): void
}

/**
 * An OAuth access token for a service account (RFC 7523 JWT bearer grant), kept until a minute
 * before its end. A key that is no RSA private key throws at creation.
 */
export function createGoogleAccessToken(deps: GoogleAccessTokenDeps): GoogleAccessToken {
  const { account, clock, fetch } = deps
  const key = readPrivateKey(account)
  let kept: { readonly token: string; readonly untilMs: number } | undefined
  let inFlight: Promise<string> | undefined

  async function request(): Promise<string> {
    const nowMs = clock.now().getTime()
    const assertion = await signAssertion(deps, key, Math.floor(nowMs / 1000))
    const { body } = await fetchJson(fetch, account.token_uri, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
        assertion,
      }).toString(),
    })
    const { token, lifeS } = readAnswer(body)
    kept = { token, untilMs: nowMs + (lifeS - 60) * 1000 }
    return token
  }

  return {
    async get() {
      if (kept !== undefined && clock.now().getTime() < kept.untilMs) return kept.token
      inFlight ??= request().finally(() => {
        inFlight = undefined
      })
      return inFlight
    },
    forget() {
      kept = undefined
    },
  }
}

function signAssertion(
  { account, scope }: GoogleAccessTokenDeps,
  key: KeyObject,
  nowS: number,
): Promise<string> {
  return new SignJWT({ scope })
    .setProtectedHeader({ alg: 'RS256', typ: 'JWT' })
    .setIssuer(account.client_email)
    .setAudience(account.token_uri)
    .setIssuedAt(nowS)
    .setExpirationTime(nowS + 3600)
    .sign(key)
}

function readAnswer(body: unknown): { readonly token: string; readonly lifeS: number } {
  if (!isJsonObject(body)) throw new Error('The token endpoint answered no JSON object')
  const { access_token: token, expires_in: lifeS } = body
  if (typeof token !== 'string' || typeof lifeS !== 'number') {
    throw new Error('The token endpoint answered no access token')
  }
  return { token, lifeS }
}

function readPrivateKey(account: ServiceAccount): KeyObject {
  assertSecureUrl(account.token_uri, 'Firebase: the service account’s token_uri')
  if (account.client_email === '') throw new Error('Firebase: client_email is missing')
  try {
    const key = createPrivateKey(account.private_key)
    if (key.asymmetricKeyType === 'rsa') return key
  } catch {
    // Neither the key nor what the parser says of it belongs in an error message.
  }
  throw new Error('Firebase: the service account’s private_key is not an RSA key in PEM form')
}
