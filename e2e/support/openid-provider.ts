import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { findFreePort } from './free-port.ts'
import { loadPeer } from './peer-package.ts'

/** The API that our server is, and one that it is not. */
export const ourApi = 'https://api.quayside.example'
export const otherApi = 'https://api.other.example'
export const phoneClient = 'phone'
export const otherClient = 'another-app'

export interface OpenidTokens {
  /** A JWT for the API that was asked for (RFC 9068), else an opaque text. */
  readonly accessToken: string
  readonly idToken: string
}

export interface OpenidProvider extends AsyncDisposable {
  readonly issuer: string
  /** What an app does to sign in: authorization code with PKCE (RFC 7636) through the browser. */
  signIn(subject: string, options?: { client?: string; api?: string }): Promise<OpenidTokens>
  /** From now on signs with a new key, and no longer publishes the old one. */
  rotateKey(): Promise<void>
  /** Goes down: connections are refused until `start`. */
  stop(): Promise<void>
  start(): Promise<void>
}

/** Runs oidc-provider, a certified OpenID provider, in this process; on a free port unless told. */
export async function startOpenidProvider(wantedPort?: number): Promise<OpenidProvider> {
  const port = wantedPort ?? (await findFreePort())
  const issuer = `http://127.0.0.1:${port}`
  let provider = await createProvider(issuer)
  let server: Server | undefined

  async function start(): Promise<void> {
    server = createServer((request, response) => void answer(provider, request, response))
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
  }

  async function stop(): Promise<void> {
    if (server === undefined) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    server = undefined
    await closed
  }

  await start()
  return {
    issuer,
    signIn: (subject, { client = phoneClient, api } = {}) => signIn(issuer, subject, client, api),
    async rotateKey() {
      provider = await createProvider(issuer)
    },
    stop,
    start,
    [Symbol.asyncDispose]: stop,
  }
}

async function createProvider(issuer: string): Promise<Provider> {
  const { default: Provider } = await loadPeer<OidcProviderModule>('oidc-provider')
  const memory = 'oidc-provider/lib/adapters/memory_adapter.js'
  const { default: Memory } = await loadPeer<{ default: new (model: string) => object }>(memory)
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const key = {
    ...privateKey.export({ format: 'jwk' }),
    kid: randomUUID(),
    alg: 'RS256',
    use: 'sig',
  }
  const lifeS = 600
  return new Provider(issuer, {
    // Named only because the provider prints a warning for each that is not.
    adapter: (model: string) => new Memory(model),
    ttl: {
      AccessToken: lifeS,
      Grant: lifeS,
      IdToken: lifeS,
      Interaction: lifeS,
      Session: lifeS,
    },
    clients: [phoneClient, otherClient].map((id) => ({
      client_id: id,
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      redirect_uris: [redirectUri],
    })),
    jwks: { keys: [key] },
    cookies: { keys: [randomUUID()] },
    findAccount: (_: unknown, sub: string) => ({ accountId: sub, claims: () => ({ sub }) }),
    interactions: { url: (_: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
    features: {
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_: unknown, audience: string) => ({
          audience,
          scope: 'orders',
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  })
}

const redirectUri = 'com.example.quayside:/callback'

/** Everything is the provider's, except the pages where a person would type a name and agree. */
async function answer(provider: Provider, request: IncomingMessage, response: ServerResponse) {
  if (!request.url?.startsWith('/interaction/')) return provider.callback()(request, response)
  const { prompt, params, session } = await provider.interactionDetails(request, response)
  if (prompt.name === 'login') {
    const result = { login: { accountId: params.login_hint } }
    return provider.interactionFinished(request, response, result)
  }
  const grant = new provider.Grant({
    accountId: session?.accountId,
    clientId: params.client_id,
  })
  grant.addOIDCScope('openid')
  if (params.resource !== undefined) grant.addResourceScope(params.resource, 'orders')
  const result = { consent: { grantId: await grant.save() } }
  return provider.interactionFinished(request, response, result)
}

async function signIn(
  issuer: string,
  subject: string,
  client: string,
  api: string | undefined,
): Promise<OpenidTokens> {
  const verifier = randomBytes(32).toString('base64url')
  const resource = api === undefined ? {} : { resource: api }
  const common = { client_id: client, redirect_uri: redirectUri, ...resource }
  const query = new URLSearchParams({
    ...common,
    response_type: 'code',
    scope: 'openid orders',
    login_hint: subject,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  })
  const code = await followToCode(new URL(`/auth?${query.toString()}`, issuer))
  const form = { ...common, grant_type: 'authorization_code', code, code_verifier: verifier }
  const response = await fetch(`${issuer}/token`, {
    method: 'POST',
    body: new URLSearchParams(form),
  })
  const tokens = (await response.json()) as { access_token: string; id_token: string }
  assert.equal(response.status, 200, JSON.stringify(tokens))
  return { accessToken: tokens.access_token, idToken: tokens.id_token }
}

/** A browser without a face: follows redirects and keeps cookies until the app is called back. */
async function followToCode(start: URL): Promise<string> {
  const cookies = new Map<string, string>()
  let url = start
  for (let step = 0; step < 10; step++) {
    const cookie = [...cookies].map((pair) => pair.join('=')).join('; ')
    const response = await fetch(url, { redirect: 'manual', headers: { cookie } })
    const page = await response.text()
    for (const line of response.headers.getSetCookie()) {
      const [name = '', value = ''] = (line.split(';')[0] ?? '').split('=')
      cookies.set(name, value)
    }
    const location = response.headers.get('location')
    assert.ok(location, `The provider answered ${response.status} instead of a redirect: ${page}`)
    url = new URL(location, url)
    if (!url.href.startsWith(redirectUri)) continue
    const code = url.searchParams.get('code')
    assert.ok(code, `The provider refused: ${url.search}`)
    return code
  }
  throw new Error('The provider redirects without end.')
}

interface OidcProviderModule {
  readonly default: new (issuer: string, configuration: object) => Provider
}

interface Provider {
  readonly Grant: new (of: { accountId: string | undefined; clientId: string }) => {
    addOIDCScope(scope: string): void
    addResourceScope(resource: string, scope: string): void
    save(): Promise<string>
  }
  callback(): (request: IncomingMessage, response: ServerResponse) => Promise<void>
  interactionDetails(
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<{
    readonly prompt: { readonly name: string }
    readonly params: {
      readonly client_id: string
      readonly login_hint: string
      readonly resource?: string
    }
    readonly session?: { readonly accountId: string }
  }>
  interactionFinished(
    request: IncomingMessage,
    response: ServerResponse,
    result: object,
  ): Promise<void>
}
