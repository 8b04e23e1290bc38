import { type Span, SpanStatusCode } from '@opentelemetry/api'

/** Marks a span as failed; `type` is a code or a class name. */
export function fail(span: Span, type: string): void {
  span.setStatus({ code: SpanStatusCode.ERROR })
  span.setAttribute('error.type', type)
}

/**
 * A code (`23505`, `ECONNREFUSED`) or a class name. Never the message: PostgreSQL's quote the
 * values of the row, and those of others quote addresses. What vendors call a code may be anything.
 */
export function errorType(error: unknown): string {
  if (!(error instanceof Error)) return '_OTHER'
  // `fetch` hides the network's error in the cause of its own.
  const source = error.cause instanceof Error && 'code' in error.cause ? error.cause : error
  const code = 'code' in source ? source.code : undefined
  if (typeof code === 'string' && codeForm.test(code)) return code
  return /^[A-Za-z]{1,40}$/.test(error.name) ? error.name : '_OTHER'
}

// SQLSTATE, or the upper case of Node, undici and the database driver.
const codeForm = /^(?:[0-9A-Z]{5}|[A-Z]{2,}(?:_[A-Z]+)*)$/

/** The method for a span's name and for its attribute; made-up ones would be a name each. */
export function describeMethod(method: string): { name: string; value: string } {
  return knownMethods.has(method)
    ? { name: method, value: method }
    : { name: 'HTTP', value: '_OTHER' }
}

const knownMethods: ReadonlySet<string> = new Set(
  'CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT QUERY TRACE'.split(' '),
)
