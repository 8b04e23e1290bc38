import type { FastifyReply, FastifyRequest, FastifySchema, RouteOptions } from 'fastify'
import createRouter, { type HTTPMethod } from 'find-my-way'
import { type Access, assertPrefixFits, describeAccess, publicAccess } from './access.ts'
import type { createGuard } from './guard.ts'
import type { createIdempotency } from './idempotency.ts'
import type { RouteState } from './route-state.ts'
import { checkSignature } from './signature.ts'

/** One line of `npm run routes`. */
export interface RouteLine {
  readonly method: string
  readonly path: string
  readonly access: string
}

export interface RouteBookDeps {
  readonly guardFor: ReturnType<typeof createGuard>
  readonly idempotent: ReturnType<typeof createIdempotency>
  readonly observer: (method: string, route: string) => RouteState['observe']
}

/**
 * Sees every route as it is added: refuses one without access, without a response schema or under
 * the wrong prefix, puts the guard in front of it, and remembers it for the list and for 405.
 */
export function createRouteBook({ guardFor, idempotent, observer }: RouteBookDeps) {
  const lines: RouteLine[] = []
  const methods = new Map<string, string[]>()
  const router = createRouter({ maxParamLength: 16_384 })

  return {
    add(route: RouteOptions): void {
      const path = route.url
      // The CORS library answers preflights with a route of its own.
      const isPreflight = path === '*' && route.method === 'OPTIONS'
      const method = oneMethod(route)
      const access = isPreflight ? publicAccess() : assertDeclared(route)
      if (!isPreflight) {
        if (method !== 'HEAD') lines.push({ method, path, access: describeAccess(access) })
        remember(method, path)
        route.schema = closedSchema(route, access)
      }
      addHooks(route, access, { method, pattern: path, access, observe: observer(method, path) })
    },
    list: (): RouteLine[] =>
      lines.toSorted((a, b) => (`${a.path} ${a.method}` < `${b.path} ${b.method}` ? -1 : 1)),
    /** Methods that some route answers at this URL; empty when there is no such path. */
    methodsAt(url: string): string[] {
      const found = router.find('GET', url)
      return found ? (methods.get((found.store as { path: string }).path) ?? []) : []
    },
  }

  function remember(method: string, path: string): void {
    const known = methods.get(path)
    if (known) known.push(method)
    else {
      methods.set(path, [method])
      router.on('GET' satisfies HTTPMethod, path, () => {}, { path })
    }
  }

  function addHooks(route: RouteOptions, access: Access, state: RouteState): void {
    const before = [route.onRequest ?? []].flat()
    route.onRequest = [guardFor(state, route.config?.limit), ...before]
    if (access.kind === 'signed')
      route.preValidation = [checkSignature(access.verifier), ...[route.preValidation ?? []].flat()]
    if (repeats(route, access, state.method)) {
      const handler = route.handler as (request: FastifyRequest, reply: FastifyReply) => unknown
      route.handler = idempotent(handler)
    }
  }
}

// Hooks, idempotency and metrics are those of one method.
function oneMethod({ method, url }: RouteOptions): string {
  if (typeof method === 'string') return method
  throw new Error(`${method.join(' and ')} ${url} are two routes; add each by itself.`)
}

/**
 * What a route does not declare, it neither takes nor gives. Without a query schema it has no query
 * parameters; the protocols and webhooks, whose clients are not ours, may send more. And Fastify
 * writes out all there is of a reply whose status has no schema; here that fails instead.
 */
function closedSchema({ schema, url }: RouteOptions, access: Access): FastifySchema {
  const closed: FastifySchema = {
    ...schema,
    response: { default: undeclaredReply, ...(schema?.response as object) },
  }
  if (featurePath.test(url) && access.kind !== 'signed') closed.querystring ??= noParameters
  return closed
}

const featurePath = /^\/(?:auth\/(?!v1\/)|internal\/|public\/)/
const noParameters = { type: 'object', properties: {}, additionalProperties: false }
/** Stands where a route has no schema for a status: it fits nothing, so nothing leaves. */
export const undeclaredReply = { type: 'object', required: ['a response schema for this status'] }

function assertDeclared(route: RouteOptions): Access {
  const where = `${String(route.method)} ${route.url}`
  const access = route.config?.access
  if (!access) throw new Error(`${where} declares no access.`)
  const { response } = (route.schema ?? {}) as { response?: object }
  if (!response || Object.keys(response).length === 0)
    throw new Error(`${where} declares no response schema.`)
  assertPrefixFits(route.url, access)
  return access
}

// The protocols give `Idempotency-Key` a meaning of their own, so there it is left alone.
function repeats(route: RouteOptions, access: Access, method: string): boolean {
  if (route.config?.idempotency === false) return false
  if (access.kind !== 'user' && access.kind !== 'service') return false
  if (!['POST', 'PUT', 'PATCH', 'DELETE'].includes(method)) return false
  return /^\/(?:auth\/(?!v1\/)|internal\/)/.test(route.url)
}
