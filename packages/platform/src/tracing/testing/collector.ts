import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A span as the collector got it, with its attributes as a plain object. */
export interface ReceivedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | undefined
  readonly traceState: string | undefined
  readonly name: string
  /** 2 server, 3 client. */
  readonly kind: number
  /** 0 unset, 2 error. */
  readonly statusCode: number
  readonly attributes: Readonly<Record<string, unknown>>
  readonly resource: Readonly<Record<string, unknown>>
}

/** An OTLP/HTTP collector that remembers what it was sent. */
export async function startCollector() {
  const bodies: string[] = []
  const paths: string[] = []
  const held: ServerResponse[] = []
  let arrived = Promise.withResolvers<void>()
  let mode: number | 'hold' = 200

  const server = createServer((request, response) => {
    void (async () => {
      paths.push(`${request.method} ${request.url}`)
      bodies.push(await textOf(request))
      if (mode === 'hold') held.push(response)
      else reply(response, mode)
      const { resolve } = arrived
      arrived = Promise.withResolvers<void>()
      resolve()
    })()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** Bodies as they came. */
    bodies,
    paths,
    spans: () => bodies.flatMap((body) => spansOf(JSON.parse(body) as Payload)),
    /** Answers with this status from now on, or with nothing until `release`. */
    answer(next: number | 'hold') {
      mode = next
    },
    /** Answers what was held. */
    release() {
      for (const response of held.splice(0)) reply(response, 200)
    },
    /** Waits until so many batches have come. */
    async batches(count: number) {
      while (bodies.length < count) await arrived.promise
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function reply(response: ServerResponse, status: number): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end('{}')
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of request) chunks.push(chunk as Uint8Array)
  return Buffer.concat(chunks).toString('utf8')
}

interface Attribute {
  readonly key: string
  readonly value: Readonly<Record<string, unknown>>
}

interface Payload {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] }
    readonly scopeSpans: readonly { readonly spans: readonly WireSpan[] }[]
  }[]
}

interface WireSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly traceState?: string
  readonly name: string
  readonly kind: number
  readonly status: { readonly code: number }
  readonly attributes: readonly Attribute[]
}

function spansOf({ resourceSpans }: Payload): ReceivedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId,
        traceState: span.traceState,
        name: span.name,
        kind: span.kind,
        statusCode: span.status.code,
        attributes: plain(span.attributes),
        resource: plain(resource.attributes),
      })),
    ),
  )
}

function plain(attributes: readonly Attribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))
}
