import cors, { type FastifyCorsOptions } from '@fastify/cors'
import Fastify, {
  type FastifyReply,
  type FastifyRequest,
  LogController,
  type RouteOptions,
} from 'fastify'
import type { Logger } from 'pino'
import { v7 as uuidv7 } from 'uuid'
import { createTokenAuthenticator } from './auth/authenticator.ts'
import { createApiKeys } from './auth/api-keys.ts'
import { createApiKeysRepository } from './auth/api-keys.repository.ts'
import type { UserDirectory } from './auth/user-directory.ts'
import type { TokenVerifier } from './auth/verifier.ts'
import type { Clock } from './clock.ts'
import type { Database } from './database/connect.ts'
import { commonErrors } from './errors.ts'
import type { App, Feature, Platform } from './feature.ts'
import { createHealth, type Part } from './health.ts'
import { publicAccess } from './http/access.ts'
import { createClientErrorHandler } from './http/client-error.ts'
import { addDocs } from './http/docs.ts'
import { createGuard, type Limits } from './http/guard.ts'
import { createIdempotency } from './http/idempotency.ts'
import { createIdempotencyRepository } from './http/idempotency.repository.ts'
import { addOpenApiRoute, collectOpenApi } from './http/openapi.ts'
import { addPlatformRoutes } from './http/platform-routes.ts'
import { sendProblem } from './http/problem.ts'
import { createRequestIds } from './http/request-id.ts'
import { requestLogger } from './http/request-logger.ts'
import { createRouteBook, type RouteLine } from './http/route-book.ts'
import { createSchemaCompiler } from './http/schema-compiler.ts'
import { createSerializerCompiler } from './http/serializer-compiler.ts'
import { addStrictJson } from './http/strict-json.ts'
import { assertTarget, originForm } from './http/strict-target.ts'
import { createMetrics } from './metrics.ts'
import { requestLine } from './log/request-line.ts'
import { addRequestTracing } from './tracing/request-tracing.ts'
import { traceDatabase } from './tracing/traced-database.ts'
import type { Tracing } from './tracing/tracing.ts'
import './http/route-config.ts'

/** Sizes and times that bound a client. */
export interface HttpOptions {
  /** Proxies whose `X-Forwarded-*` is believed: addresses or CIDR ranges. None by default. */
  readonly trustedProxies: readonly string[]
  /** Origins that browsers may call from. */
  readonly clientOrigins: readonly string[]
  readonly bodyBytesMax: number
  /** Longest time for a request's headers to arrive, in milliseconds. */
  readonly headersTimeoutMs: number
  /** Longest time for a whole request to arrive, in milliseconds. */
  readonly requestTimeoutMs: number
  /** Longest silence on a connection, in milliseconds; it also cuts readers that stop reading. */
  readonly idleTimeoutMs: number
}

export interface AppOptions {
  readonly version: string
  readonly features: readonly Feature[]
  readonly database: Database
  readonly clock: Clock
  readonly log: Logger
  /** Whose tokens are accepted. */
  readonly verifiers: readonly TokenVerifier[]
  /** Gateway mode: who vouches instead of a signature, and how its requests are told apart. */
  readonly gateway?: Gateway | undefined
  readonly limits: Limits
  readonly http: HttpOptions
  /** Parts besides the database that readiness depends on. */
  readonly parts?: readonly Part[]
  readonly fetch?: typeof globalThis.fetch
  /** Present when the server traces. Whoever made it closes it. */
  readonly tracing?: Tracing | undefined
}

export interface Gateway {
  readonly verifier: TokenVerifier
  readonly isTrusted: (request: FastifyRequest) => boolean
}

/** The HTTP application with everything wired; it does not listen, so tests use it as it is. */
export interface QuaysideApp {
  readonly http: App
  /** Every route with its access, sorted by path. */
  readonly routes: readonly RouteLine[]
  /** Reports not ready and asks clients to reconnect elsewhere; requests are still served. */
  drain(): void
  /** Answers what still arrives with 503, waits for running requests, and lets go of everything. */
  close(): Promise<void>
  /** Removes expired rows of the platform's own tables. */
  cleanUp(): Promise<void>
}

export async function createApp(options: AppOptions): Promise<QuaysideApp> {
  const { clock, log, limits, tracing } = options
  const database = tracing ? traceDatabase(options.database, tracing) : options.database
  const newId = () => uuidv7()
  const health = createHealth([
    { name: 'database', check: async () => database.sql`select 1` },
    ...(options.parts ?? []),
  ])
  const users = createUsersLink()
  const tokens = createTokenAuthenticator({
    verifiers: options.verifiers,
    ...(options.gateway && { gateway: options.gateway.verifier }),
    resolveUser: users.link.resolve,
    clock,
  })
  const metrics = createMetrics({ pool: database.poolStats, tokenCache: tokens.stats })
  const apiKeys = createApiKeys({
    keys: createApiKeysRepository(database),
    clock,
    newId,
    log,
  })
  const replies = createIdempotencyRepository(database)
  const http = createHttp(options)
  const guardFor = createGuard({
    tokens,
    apiKeys,
    limits,
    isFromGateway: options.gateway?.isTrusted,
  })
  const book = createRouteBook({
    guardFor,
    idempotent: createIdempotency({ replies, transaction: database.transaction }),
    observer: metrics.routeObserver,
  })
  const state = { closing: false }

  addStrictJson(http)
  http.decorateRequest('principal', null)
  http.decorateRequest('rawBody', null)
  http.decorateRequest('routeState', null)
  http.addHook('onRoute', (route: RouteOptions) => book.add(route))
  if (tracing) addRequestTracing(http, tracing)
  const unrouted = metrics.routeObserver('ANY', 'none')
  addRequestHooks(http, { health, state, log, unrouted })
  http.setErrorHandler(sendProblem)
  // Guessing paths is limited by address like everything that proves nothing.
  const nowhere = { method: 'ANY', pattern: 'none', access: publicAccess(), observe: unrouted }
  http.setNotFoundHandler({ preHandler: guardFor(nowhere, undefined) }, (request) => {
    const allow = book.methodsAt(request.url)
    if (allow.length === 0) throw commonErrors.not_found()
    throw commonErrors.method_not_allowed({ headers: { Allow: allow.join(', ') } })
  })
  if (options.http.clientOrigins.length > 0) await http.register(cors, corsOptions(options.http))

  await collectOpenApi(http, options.version)
  addPlatformRoutes(http, { health, metrics })
  addOpenApiRoute(http)
  addDocs(http)
  const platform = platformOf({ ...options, database, newId, users: users.link })
  const parts = options.features.map((feature) => feature.setup(platform))
  for (const { users: directory } of parts) if (directory) users.connect(directory)
  for (const { routes } of parts) if (routes) await http.register(async (scope) => routes(scope))
  await http.ready()

  return {
    http,
    routes: book.list(),
    drain: health.drain,
    async cleanUp() {
      await replies.deleteExpired()
    },
    async close() {
      health.drain()
      state.closing = true
      await http.close()
      for (const part of parts) await part.close?.()
      await Promise.all([limits.general.close(), limits.exact.close()])
      metrics.close()
    },
  }
}

/** What the features are lent. */
function platformOf(deps: AppOptions & Pick<Platform, 'newId' | 'users'>): Platform {
  const { clock, log, newId, users, tracing, fetch = globalThis.fetch } = deps
  const { sql, transaction } = deps.database
  return {
    sql,
    transaction,
    clock,
    newId,
    log,
    users,
    fetch: tracing ? tracing.wrapFetch(fetch) : fetch,
  }
}

/**
 * Lets features and the guard hold the user directory before the feature that provides it was set
 * up. Two providers would make one person two users, so the second is refused.
 */
function createUsersLink() {
  let directory: UserDirectory | undefined
  const connected = (): UserDirectory => {
    if (!directory) throw new Error('No feature of this server says who its users are.')
    return directory
  }
  return {
    link: {
      resolve: async (token) => connected().resolve(token),
      exists: async (userId) => connected().exists(userId),
    } satisfies UserDirectory,
    connect(provided: UserDirectory): void {
      if (directory) throw new Error('Two features of this server say who its users are.')
      directory = provided
    },
  }
}

function createHttp({ http, log }: AppOptions): App {
  const newRequestId = createRequestIds()
  return Fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    childLoggerFactory: (_logger, { reqId }) => requestLogger(log, String(reqId)),
    requestIdHeader: false,
    genReqId: newRequestId,
    trustProxy: http.trustedProxies.length > 0 ? [...http.trustedProxies] : false,
    bodyLimit: http.bodyBytesMax,
    // As long as all headers together may be, so that the router refuses nothing by itself: its
    // refusals pass by the hooks and so go unlogged.
    routerOptions: { maxParamLength: headerBytesMax },
    rewriteUrl: (request) => originForm(request.url ?? '/'),
    requestTimeout: http.requestTimeoutMs,
    connectionTimeout: http.idleTimeoutMs,
    // Longer than the 60 seconds for which load balancers keep a connection, so that it is never
    // us who close one on which the balancer is just sending.
    keepAliveTimeout: 72_000,
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) => sendProblem(error, request, reply),
    clientErrorHandler: createClientErrorHandler(() => newRequestId({ headers: {} })),
    http: {
      headersTimeout: http.headersTimeoutMs,
      requestTimeout: http.requestTimeoutMs,
      // Node looks for late clients this often; its default of 30 s would keep them that long.
      connectionsCheckingInterval: 500,
      maxHeaderSize: headerBytesMax,
      // A missing Host is refused by `assertTarget`, in our error form; Node's own answer has none.
      requireHostHeader: false,
    },
  })
    .setValidatorCompiler(createSchemaCompiler())
    .setSerializerCompiler(createSerializerCompiler()) as unknown as App
}

const headerBytesMax = 16_384

interface RequestHookDeps {
  readonly health: { isDraining(): boolean }
  readonly state: { readonly closing: boolean }
  readonly log: Logger
  readonly unrouted: (status: number, seconds: number) => void
}

/** What happens to every request, also to those that match no route. */
function addRequestHooks(app: App, deps: RequestHookDeps): void {
  const { health, state } = deps
  app.addHook('onRequest', (request, reply, done) => {
    const startedMs = performance.now()
    // Not the `onResponse` hook: it never runs for a client that hangs up before the answer, and
    // whose request may have taken effect all the same.
    reply.raw.on('close', () => recordRequest(request, reply, performance.now() - startedMs, deps))
    reply.header('x-request-id', request.id)
    reply.header('cache-control', 'private, no-store')
    reply.header('x-content-type-options', 'nosniff')
    reply.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'")
    reply.header('strict-transport-security', 'max-age=31536000; includeSubDomains')
    if (health.isDraining()) reply.header('connection', 'close')
    if (state.closing) return done(commonErrors.unavailable())
    try {
      assertTarget(request.raw, request.originalUrl)
      done()
    } catch (error) {
      done(error as Error)
    }
  })
}

/** One histogram entry and one log line. A client that left before the answer counts as 499. */
function recordRequest(
  request: FastifyRequest,
  reply: FastifyReply,
  durationMs: number,
  { log, unrouted }: RequestHookDeps,
): void {
  const route = request.routeState
  const status = reply.raw.writableEnded ? reply.statusCode : clientLeft
  if (route) route.observe(status, durationMs / 1000)
  else unrouted(status, durationMs / 1000)
  requestLine(log, {
    method: request.method,
    route: route?.pattern ?? 'none',
    url: request.originalUrl,
    status,
    durationMs,
    requestId: request.id,
    userId: request.principal?.userId,
    address: request.ip,
  })
}

// No status of HTTP, but the one that nginx made usual for this in logs.
const clientLeft = 499

function corsOptions({ clientOrigins }: HttpOptions): FastifyCorsOptions {
  const allowed = new Set(clientOrigins)
  return {
    // A list would give others everything but the header with the origin; false gives them nothing.
    origin: (origin, decide) => decide(null, origin !== undefined && allowed.has(origin)),
    credentials: true,
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposedHeaders: [
      'ETag',
      'Location',
      'X-Request-Id',
      'Retry-After',
      'RateLimit',
      'RateLimit-Policy',
      'Idempotency-Replayed',
    ],
    maxAge: 600,
    strictPreflight: false,
  }
}
