import type { FastifyRequest } from 'fastify'
import { commonErrors } from '../errors.ts'
import '../http/route-config.ts'
import type { Principal } from './principal.ts'

/**
 * Who is calling. Throws `unauthenticated` where nobody was proven, so a handler that asks for the
 * principal on a route without one refuses instead of serving nobody in particular.
 */
export function principalOf(request: FastifyRequest): Principal {
  if (!request.principal) throw commonErrors.unauthenticated()
  return request.principal
}
