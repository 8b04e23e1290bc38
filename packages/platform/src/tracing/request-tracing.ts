import type { FastifyRequest } from 'fastify'
import type { App } from '../feature.ts'
import type { RequestSpan, Tracing } from './tracing.ts'

/** Gives each request a span. To be added before other hooks, so that their work belongs to it. */
export function addRequestTracing(app: App, tracing: Pick<Tracing, 'startRequest'>): void {
  const spans = new WeakMap<FastifyRequest, RequestSpan>()
  const end = (request: FastifyRequest, status: number | undefined): void => {
    spans.get(request)?.end({
      route: request.routeState?.pattern,
      status,
      userId: request.principal?.userId,
    })
  }

  app.addHook('onRequest', (request, _reply, done) => {
    const span = tracing.startRequest({
      method: request.method,
      scheme: request.protocol === 'https' ? 'https' : 'http',
      target: request.originalUrl,
      traceparent: single(request.headers['traceparent']),
      tracestate: single(request.headers['tracestate']),
    })
    spans.set(request, span)
    span.run(done)
  })
  app.addHook('onResponse', (request, reply, done) => {
    end(request, reply.statusCode)
    done()
  })
  app.addHook('onRequestAbort', (request, done) => {
    end(request, undefined)
    done()
  })
}

function single(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : undefined
}
