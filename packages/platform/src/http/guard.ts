import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import type { Principal } from '../auth/principal.ts'
import { commonErrors } from '../errors.ts'
import type { DefinedLimitRule, LimitResult, LimitStore } from '../limits/limit-store.ts'
import { addressKey } from '../limits/client-address.ts'
import { rateLimited, rateLimitHeaders } from '../limits/rate-limit-headers.ts'
import type { Access } from './access.ts'
import { apiKeyOf, bearerToken } from './credentials.ts'
import type { RouteState } from './route-state.ts'

export interface GuardDeps {
  readonly tokens: {
    cached(token: string): Principal | undefined
    authenticate(token: string): Promise<Principal>
  }
  readonly apiKeys: { authenticate(secret: string): Promise<Principal> }
  /** Present in gateway mode: whether the request came through the trusted gateway. */
  readonly isFromGateway?: ((request: FastifyRequest) => boolean) | undefined
  readonly limits: Limits
}

/** The general limits, and the store that route limits count in. */
export interface Limits {
  /** Requests of one person or key. */
  readonly user: DefinedLimitRule
  /** Requests without a valid proof, by client address. */
  readonly address: DefinedLimitRule
  readonly general: LimitStore
  /** Exact across nodes, for a route's own limit. */
  readonly exact: LimitStore
}

type Guard = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction) => void

/**
 * Makes the hook that stands before every route, after routing and before parsing: proof, limit,
 * role or scope, `{sub}`, in this order. A known token passes without a promise, because this is
 * the hot path.
 */
export function createGuard(deps: GuardDeps) {
  const { limits } = deps

  return function guardFor(route: RouteState, routeLimit: DefinedLimitRule | undefined): Guard {
    const { access } = route
    const checksSubject = access.kind === 'user' && /\/:sub(?![A-Za-z0-9_])/.test(route.pattern)
    const prove = proofOf(access, deps)

    return function guard(request, reply, done) {
      request.routeState = route
      const proof = prove(request)
      if (proof instanceof Promise) proof.then(admit, refuse)
      else admit(proof)

      function admit(principal: Principal | null): void {
        request.principal = principal
        const rule = principal ? limits.user : limits.address
        count(
          limits.general,
          rule,
          keyOf(request, principal),
          reply,
          () => {
            const refusal = principal && refusalOf(principal, access, checksSubject, request)
            if (refusal) done(refusal)
            else if (routeLimit) countRoute(principal)
            else done()
          },
          done,
        )
      }

      function countRoute(principal: Principal | null): void {
        if (routeLimit)
          count(limits.exact, routeLimit, keyOf(request, principal), reply, () => done(), done)
      }

      // A failed proof counts against the address, so guessing is limited too. A dead dependency
      // is nobody's guess.
      function refuse(error: Error): void {
        if (!('status' in error) || error.status !== 401) return done(error)
        count(
          limits.general,
          limits.address,
          addressKey(request.ip),
          reply,
          () => done(error),
          done,
        )
      }
    }
  }
}

function keyOf(request: FastifyRequest, principal: Principal | null): string {
  return principal ? principal.userId : addressKey(request.ip)
}

type Proof = Principal | null

/** How a route's callers prove who they are: at once where that is possible. */
function proofOf(
  access: Access,
  { tokens, apiKeys, isFromGateway }: GuardDeps,
): (request: FastifyRequest) => Proof | Promise<Proof> {
  switch (access.kind) {
    case 'user':
      return (request) => {
        if (isFromGateway && !isFromGateway(request))
          return Promise.reject(commonErrors.gateway_untrusted())
        const token = bearerToken(request)
        if (token === undefined) return Promise.reject(commonErrors.unauthenticated())
        return tokens.cached(token) ?? tokens.authenticate(token)
      }
    case 'service':
      return (request) => {
        const key = apiKeyOf(request)
        return key === undefined
          ? Promise.reject(commonErrors.unauthenticated())
          : apiKeys.authenticate(key)
      }
    // A signature covers the body, so it is checked once that has been read; see `signature.ts`.
    case 'signed':
    case 'public':
      return () => null
  }
}

function refusalOf(
  principal: Principal,
  access: Access,
  checksSubject: boolean,
  request: FastifyRequest,
): Error | undefined {
  if (access.kind === 'user' && access.roles.length > 0)
    if (!access.roles.some((role) => principal.roles.includes(role)))
      return commonErrors.role_missing()
  if (access.kind === 'service')
    if (!access.scopes.every((scope) => principal.scopes.includes(scope)))
      return commonErrors.scope_missing()
  if (checksSubject && (request.params as { sub?: unknown }).sub !== principal.subject)
    return commonErrors.subject_mismatch()
  return undefined
}

function count(
  store: LimitStore,
  rule: DefinedLimitRule,
  key: string,
  reply: FastifyReply,
  go: () => void,
  stop: (error: Error) => void,
): void {
  const settle = (result: LimitResult): void => {
    const headers = rateLimitHeaders(rule, result)
    reply.header('ratelimit-policy', headers['RateLimit-Policy'])
    reply.header('ratelimit', headers['RateLimit'])
    if (result.allowed) go()
    else stop(rateLimited(rule, result))
  }
  const result = store.take(key, rule)
  if (result instanceof Promise) result.then(settle, stop)
  else settle(result)
}
