import type { AsyncLocalStorage } from 'node:async_hooks'
import {
  type Context,
  createTraceState,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  trace,
  type Tracer,
} from '@opentelemetry/api'
import { createRedactor } from '../log/redact.ts'
import { safePath } from './safe-path.ts'
import { describeMethod, fail } from './span-facts.ts'
import { parseTraceParent } from './trace-parent.ts'
import type { IncomingRequest, RequestOutcome, RequestSpan } from './tracing.ts'

/** Makes `startRequest`; `current` carries a request's span to what runs on its behalf. */
export function createRequestStarter(tracer: Tracer, current: AsyncLocalStorage<Context>) {
  const redactor = createRedactor()
  // Anybody can write this header, and it is sent on: not with what looks like a secret.
  const isHarmless = (state: string) => state.length <= 512 && redactor.text(state) === state

  return (request: IncomingRequest): RequestSpan => {
    const parent = parentOf(request, isHarmless)
    const method = describeMethod(request.method)
    const attributes = {
      'http.request.method': method.value,
      'url.scheme': request.scheme,
      'url.path': safePath(request.target),
    }
    const span = tracer.startSpan(method.name, { kind: SpanKind.SERVER, attributes }, parent)
    const context = trace.setSpan(parent, span)
    return {
      traceId: span.spanContext().traceId,
      run: (work) => current.run(context, work),
      // An ended span takes nothing more, so only the first call counts.
      end: (outcome) => endRequest(span, method.name, outcome),
    }
  }
}

function parentOf(
  { traceparent, tracestate }: IncomingRequest,
  isHarmless: (state: string) => boolean,
): Context {
  const parent = parseTraceParent(traceparent)
  if (!parent) return ROOT_CONTEXT
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId: parent.traceId,
    spanId: parent.spanId,
    traceFlags: parent.flags,
    isRemote: true,
    ...(tracestate && isHarmless(tracestate) && { traceState: createTraceState(tracestate) }),
  })
}

function endRequest(span: Span, name: string, { route, status, userId }: RequestOutcome): void {
  if (route !== undefined) {
    span.updateName(`${name} ${route}`)
    span.setAttribute('http.route', route)
  }
  if (userId !== undefined) span.setAttribute('user.id', userId)
  if (status === undefined) fail(span, 'client_closed_request')
  else {
    span.setAttribute('http.response.status_code', status)
    // What the client did wrong is no failure of the server.
    if (status >= 500) fail(span, String(status))
  }
  span.end()
}
