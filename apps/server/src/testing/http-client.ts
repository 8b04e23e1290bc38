import { Agent, type IncomingHttpHeaders, request } from 'node:http'
import type { TestContext } from 'node:test'

export interface Reply {
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

/** Sends requests over kept connections, as an app or a load balancer does. */
export interface HttpClient {
  /** Rejects when there is no whole answer. A body makes it a POST. */
  send(url: string, options?: { headers?: Record<string, string>; body?: object }): Promise<Reply>
}

/** Makes a client; its connections end with the test. */
export function createHttpClient(t: Pick<TestContext, 'after'>): HttpClient {
  const agent = new Agent({ keepAlive: true })
  t.after(() => agent.destroy())
  return {
    send(url, { headers = {}, body } = {}) {
      return new Promise<Reply>((resolve, reject) => {
        const outgoing = request(url, {
          agent,
          method: body ? 'POST' : 'GET',
          headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
        })
        outgoing.once('error', reject)
        outgoing.once('response', (incoming) => {
          let text = ''
          incoming.setEncoding('utf8').once('error', reject)
          incoming.on('data', (chunk: string) => (text += chunk))
          incoming.once('end', () => {
            if (!incoming.complete) return reject(new Error('The answer broke off.'))
            resolve({ status: incoming.statusCode, headers: incoming.headers, text })
          })
        })
        outgoing.end(body && JSON.stringify(body))
      })
    },
  }
}
