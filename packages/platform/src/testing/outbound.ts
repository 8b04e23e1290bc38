/** A request that a feature sent to another service. */
export interface OutboundRequest {
  readonly method: string
  readonly url: string
  readonly headers: Headers
  readonly body: string
}

/** Everything that would have left the machine, and who answers in the others' place. */
export interface Outbound {
  readonly sent: readonly OutboundRequest[]
  /** Answers from now on; until then every request fails like an unreachable host. */
  answer(respond: (request: OutboundRequest) => Response | Promise<Response>): void
}

/** A `fetch` that reaches nobody and remembers everything. */
export function createOutbound(): Outbound & { readonly fetch: typeof globalThis.fetch } {
  const sent: OutboundRequest[] = []
  let respond = (_request: OutboundRequest): Response | Promise<Response> => {
    throw new TypeError('fetch failed', { cause: new Error('No test answers outbound requests.') })
  }
  return {
    sent,
    answer(next) {
      respond = next
    },
    async fetch(input, init) {
      const request = new Request(input, init)
      const { method, url, headers } = request
      const seen = { method, url, headers, body: await request.text() }
      sent.push(seen)
      return respond(seen)
    },
  }
}
