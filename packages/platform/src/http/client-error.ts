import type { Socket } from 'node:net'
import { STATUS_CODES } from 'node:http'
import { type AppError, commonErrors } from '../errors.ts'
import { problemOf, problemType } from './problem.ts'

/**
 * Answers what Node could not read as HTTP at all, in our error form, and closes the connection:
 * there is no telling where the next request would begin.
 */
export function createClientErrorHandler(newRequestId: () => string) {
  return function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy()
      return
    }
    const problem = byCode[error.code ?? ''] ?? commonErrors.invalid_request
    socket.end(rawReply(problem(), newRequestId()))
  }
}

const byCode: Readonly<Record<string, () => AppError>> = {
  HPE_HEADER_OVERFLOW: commonErrors.headers_too_large,
  ERR_HTTP_REQUEST_TIMEOUT: commonErrors.request_timeout,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: commonErrors.body_too_large,
}

function rawReply(error: AppError, requestId: string): string {
  const body = JSON.stringify(problemOf(error, requestId))
  return [
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}`,
    `Content-Type: ${problemType}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Request-Id: ${requestId}`,
    'Cache-Control: no-store',
    'Connection: close',
    '',
    body,
  ].join('\r\n')
}
