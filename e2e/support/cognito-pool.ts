import assert from 'node:assert/strict'
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startPeer } from './child-process.ts'
import { findFreePort } from './free-port.ts'
import { makeTemporaryDirectory } from './temporary-directory.ts'

export const userPoolId = 'us-east-1_Quayside'
export const clientId = 'quaysideapp'
export const otherClientId = 'anotherapp'

export interface CognitoTokens {
  readonly IdToken: string
  readonly AccessToken: string
  readonly RefreshToken: string
}

export interface CognitoPool extends AsyncDisposable {
  /** For `COGNITO_ENDPOINT`: the issuer without the pool. */
  readonly endpoint: string
  signUp(email: string, client?: string): Promise<void>
  signIn(email: string, client?: string): Promise<CognitoTokens>
  refresh(refreshToken: string): Promise<Omit<CognitoTokens, 'RefreshToken'>>
  /** The pool's private key, which cognito-local publishes: with it any claims can be signed. */
  readonly privateKey: KeyObject
}

/**
 * Starts cognito-local with one pool and two app clients. The pool is seeded, because the ids that
 * cognito-local makes up are not of the form that AWS uses.
 */
export async function startCognitoPool(): Promise<CognitoPool> {
  await using stack = new AsyncDisposableStack()
  const { path: cwd } = stack.use(await makeTemporaryDirectory())
  await seed(join(cwd, '.cognito', 'db'))
  const port = await findFreePort()
  const peer = await startPeer({
    script: join(cognitoLocal, 'bin/start.js'),
    cwd,
    // Host and port also make the issuer: http://127.0.0.1:<port>/<pool>.
    env: { HOST: '127.0.0.1', PORT: String(port), CODE: confirmationCode, ...quiet },
    isReady: /Cognito Local running/,
  })
  stack.use(peer)
  const endpoint = `http://127.0.0.1:${port}`
  const keys = await readFile(join(cognitoLocal, 'keys/cognitoLocal.private.json'), 'utf8')
  const owned = stack.move()
  return {
    endpoint,
    ...appSide(endpoint),
    privateKey: createPrivateKey((JSON.parse(keys) as { pem: string }).pem),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

const cognitoLocal = fileURLToPath(new URL('../node_modules/cognito-local/lib', import.meta.url))
const confirmationCode = '123456'
const password = 'Correct-horse-1'
const quiet = { AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE: '1' }

async function seed(directory: string): Promise<void> {
  const client = (id: string) => ({
    ClientId: id,
    ClientName: id,
    UserPoolId: userPoolId,
    TokenValidityUnits: {},
  })
  const pool = { Users: {}, Options: { Id: userPoolId, UsernameAttributes: ['email'] } }
  const clients = [clientId, otherClientId].map((id) => [id, client(id)])
  await mkdir(directory, { recursive: true })
  await writeFile(join(directory, `${userPoolId}.json`), JSON.stringify(pool))
  await writeFile(
    join(directory, 'clients.json'),
    JSON.stringify({ Clients: Object.fromEntries(clients) }),
  )
}

/** What an app does, in Amazon's own protocol. */
function appSide(endpoint: string) {
  async function call(action: string, body: object): Promise<unknown> {
    const response = await fetch(endpoint, {
      method: 'POST',
      headers: {
        'x-amz-target': `AWSCognitoIdentityProviderService.${action}`,
        'content-type': 'application/x-amz-json-1.1',
      },
      body: JSON.stringify(body),
    })
    const answer: unknown = await response.json()
    assert.equal(response.status, 200, JSON.stringify(answer))
    return answer
  }
  const authenticate = async (client: string, AuthFlow: string, AuthParameters: object) => {
    const answer = await call('InitiateAuth', { ClientId: client, AuthFlow, AuthParameters })
    return (answer as { AuthenticationResult: CognitoTokens }).AuthenticationResult
  }
  return {
    async signUp(email: string, client = clientId) {
      const who = { ClientId: client, Username: email }
      await call('SignUp', { ...who, Password: password })
      await call('ConfirmSignUp', { ...who, ConfirmationCode: confirmationCode })
    },
    signIn: (email: string, client = clientId) =>
      authenticate(client, 'USER_PASSWORD_AUTH', { USERNAME: email, PASSWORD: password }),
    refresh: (token: string) =>
      authenticate(clientId, 'REFRESH_TOKEN_AUTH', { REFRESH_TOKEN: token }),
  }
}
