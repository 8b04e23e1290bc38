import type { Principal } from '../auth/principal.ts'
import type { DefinedLimitRule } from '../limits/limit-store.ts'
import type { Access } from './access.ts'
import type { RouteState } from './route-state.ts'

// Fastify's way to type `config` and request members. This is the only place that does it.
declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may call the route. Mandatory; see `access.ts`. */
    access?: Access
    /** A limit of the route's own, counted beside the general one, per user or address. */
    limit?: DefinedLimitRule
    /** False for a route whose effect is not in our database and so cannot be replayed. */
    idempotency?: false
  }
  interface FastifyRequest {
    /** Set by the guard before anything else sees the request; null on public routes. */
    principal: Principal | null
    /** The body's bytes as they arrived, for signatures and fingerprints. */
    rawBody: Buffer | null
    routeState: RouteState | null
  }
}
