import { createPublicKey, generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { listenOnLoopback } from './loopback.ts'

export interface Issuer extends AsyncDisposable {
  readonly issuer: string
  readonly audience: string
  readonly jwksUri: string
  /** An RS256 token for the subject, good for an hour. */
  issueToken(subject: string): string
}

/** An OpenID issuer on loopback: a fresh 2048-bit key, its key set, and its tokens. */
export async function startIssuer(): Promise<Issuer> {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const kid = randomUUID()
  const jwk = createPublicKey(privateKey).export({ format: 'jwk' })
  const jwks = JSON.stringify({ keys: [{ ...jwk, kid, alg: 'RS256', use: 'sig' }] })

  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'max-age=3600' })
    response.end(jwks)
  })
  const origin = `http://127.0.0.1:${await listenOnLoopback(server)}/`
  const audience = 'bench'

  return {
    issuer: origin,
    audience,
    jwksUri: `${origin}jwks`,
    issueToken(subject) {
      const issuedAt = Math.floor(Date.now() / 1000)
      const claims = { iss: origin, aud: audience, sub: subject, iat: issuedAt }
      const head = encodePart({ alg: 'RS256', typ: 'JWT', kid })
      const signed = `${head}.${encodePart({ ...claims, exp: issuedAt + 3600 })}`
      return `${signed}.${sign('sha256', Buffer.from(signed), privateKey).toString('base64url')}`
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function encodePart(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
