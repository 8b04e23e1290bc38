import type { FastifyRequest } from 'fastify'

/** The bearer token of a request (RFC 6750), or undefined. An API key is not one. */
export function bearerToken(request: FastifyRequest): string | undefined {
  const header = request.headers.authorization
  if (header === undefined) return undefined
  const token = header.startsWith('Bearer ') ? header.slice(7) : schemeValue(header, 'bearer')
  return token === undefined || token.startsWith(apiKeyPrefix) ? undefined : token
}

/** The API key of a request, from any of the four places that clients use; or undefined. */
export function apiKeyOf(request: FastifyRequest): string | undefined {
  const { headers } = request
  const authorization = headers.authorization ?? ''
  const candidates = [
    headers['x-api-key'],
    schemeValue(authorization, 'api-key'),
    schemeValue(authorization, 'bearer'),
    headers['apikey'],
  ]
  return candidates.find(
    (each): each is string => typeof each === 'string' && each.startsWith(apiKeyPrefix),
  )
}

/** How every API key of ours begins, so that scanners and people recognise a leaked one. */
export const apiKeyPrefix = 'qk_'

function schemeValue(header: string, scheme: string): string | undefined {
  const space = header.indexOf(' ')
  if (space === -1 || header.slice(0, space).toLowerCase() !== scheme) return undefined
  return header.slice(space + 1).trim()
}
