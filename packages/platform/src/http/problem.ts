import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { isDatabaseUnavailable } from '../database/unavailable.ts'
import { AppError, commonErrors } from '../errors.ts'

/** Media type of every error, RFC 9457. */
export const problemType = 'application/problem+json; charset=utf-8'

/** The problem document (RFC 9457) of an error, with our `code` and the request id. */
export function problemOf(error: AppError, requestId: string): Record<string, unknown> {
  return {
    type: 'about:blank',
    title: STATUS_CODES[error.status] ?? 'Error',
    status: error.status,
    detail: error.message,
    code: error.code,
    requestId,
    ...error.extra,
  }
}

/** Answers with a problem document and, for our own faults, logs the private cause. */
export function sendProblem(thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const error = toAppError(thrown)
  if (error.status >= 500) {
    request.log.error({ err: thrown, code: error.code }, 'request failed')
  } else if (error.cause !== undefined) {
    request.log.debug({ err: error, code: error.code }, 'request refused')
  }
  if (error.status === 401 && !reply.hasHeader('www-authenticate'))
    reply.header('www-authenticate', challengeFor(error))
  if (error.status === 503 && !('Retry-After' in error.headers)) reply.header('retry-after', '1')
  // A validator or cache header set before the failure would describe something else.
  reply.removeHeader('etag').removeHeader('location').header('cache-control', 'no-store')
  void reply
    .headers(error.headers)
    .status(error.status)
    .header('content-type', problemType)
    .serializer(JSON.stringify)
    .send(problemOf(error, request.id))
}

/** Brings whatever was thrown to an `AppError`; what nobody expected becomes `internal`. */
export function toAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown
  if (isFastifyError(thrown)) {
    if (thrown.validation) return validationError(thrown)
    const known = fastifyErrors[thrown.code]
    if (known) return known(thrown)
    if (thrown.code.startsWith('FST_ERR_') && thrown.statusCode && thrown.statusCode < 500)
      return commonErrors.invalid_request({ cause: thrown })
    // A client that hangs up in the middle of its body; a lost database has no status.
    if (thrown.code === 'ECONNRESET' && thrown.statusCode === 400)
      return commonErrors.invalid_request({ cause: thrown })
  }
  if (isDatabaseUnavailable(thrown)) return commonErrors.unavailable({ cause: thrown })
  return commonErrors.internal({ cause: thrown })
}

function isFastifyError(thrown: unknown): thrown is FastifyError {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string'
}

const fastifyErrors: Readonly<Record<string, (cause: FastifyError) => AppError>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: (cause) => commonErrors.body_too_large({ cause }),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: (cause) => commonErrors.unsupported_media_type({ cause }),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: (cause) => commonErrors.invalid_request({ cause }),
  FST_ERR_CTP_EMPTY_JSON_BODY: (cause) => commonErrors.malformed_json({ cause }),
  FST_ERR_CTP_INVALID_JSON_BODY: (cause) => commonErrors.malformed_json({ cause }),
}

/** Says which field is wrong and why, never which value was sent. */
function validationError(thrown: FastifyError): AppError {
  const issues = (thrown.validation ?? []).slice(0, 20).map((issue) => ({
    path: `${thrown.validationContext ?? 'body'}${issue.instancePath}${missingField(issue.params)}`,
    message: issue.message ?? 'is not valid',
  }))
  return commonErrors.invalid_request({ cause: thrown, extra: { issues } })
}

function missingField(params: Record<string, unknown>): string {
  const name = params['missingProperty'] ?? params['additionalProperty']
  return typeof name === 'string' ? `/${name.slice(0, 100)}` : ''
}

/** RFC 6750 section 3: a request without credentials gets no error code. */
function challengeFor(error: AppError): string {
  // Without credentials, or before they were looked at, there is nothing to say about them.
  if (error.code === 'unauthenticated' || error.code === 'gateway_untrusted')
    return 'Bearer realm="quayside"'
  if (error.code === 'api_key_invalid') return 'Api-Key realm="quayside"'
  return `Bearer realm="quayside", error="invalid_token", error_description="${error.message}"`
}
