import { type Context, type Span, SpanKind, type Tracer } from '@opentelemetry/api'
import { safePath } from './safe-path.ts'
import { describeMethod, errorType, fail } from './span-facts.ts'
import { formatTraceParent } from './trace-parent.ts'
import type { Tracing } from './tracing.ts'

/** Makes `wrapFetch`. A span ends with the reply's headers; who reads the body reads it later. */
export function createFetchWrapper(tracer: Tracer, active: () => Context): Tracing['wrapFetch'] {
  return (fetch) => async (input, init) => {
    const { address, method, given } = describe(input, init)
    // `fetch` says best what is wrong with an address.
    if (!URL.canParse(address)) return fetch(input, init)
    const span = startOutbound(tracer, active(), new URL(address), method)
    try {
      const response = await fetch(input, { ...init, headers: withTrace(span, given) })
      span.setAttribute('http.response.status_code', response.status)
      if (response.status >= 400) fail(span, String(response.status))
      return response
    } catch (error) {
      fail(span, errorType(error))
      throw error
    } finally {
      span.end()
    }
  }
}

function describe(input: string | URL | Request, init: RequestInit = {}) {
  const request = input instanceof Request ? input : undefined
  return {
    address: input instanceof Request ? input.url : input.toString(),
    method: (init.method ?? request?.method ?? 'GET').toUpperCase(),
    given: init.headers ?? request?.headers,
  }
}

function startOutbound(tracer: Tracer, context: Context, url: URL, asked: string): Span {
  const method = describeMethod(asked)
  const attributes = {
    'http.request.method': method.value,
    'server.address': url.hostname,
    'server.port': Number(url.port) || (url.protocol === 'https:' ? 443 : 80),
    // From its parts, since the address itself may hold a password and a query.
    'url.full': `${url.protocol}//${url.host}${safePath(url.pathname)}`,
  }
  return tracer.startSpan(method.name, { kind: SpanKind.CLIENT, attributes }, context)
}

/** A copy of the headers with the trace; the caller's own stay as they are. */
function withTrace(span: Span, given: RequestInit['headers']): Headers {
  const headers = new Headers(given)
  const { traceId, spanId, traceFlags, traceState } = span.spanContext()
  headers.set('traceparent', formatTraceParent({ traceId, spanId, flags: traceFlags }))
  const state = traceState?.serialize()
  if (state) headers.set('tracestate', state)
  return headers
}
