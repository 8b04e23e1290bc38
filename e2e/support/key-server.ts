import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A web server with one JSON document at every path, such as the keys of an issuer. */
export interface KeyServer extends AsyncDisposable {
  readonly port: number
  readonly url: string
  publish(document: unknown): void
  /** Goes down: connections are refused until `start`, which takes the same port again. */
  stop(): Promise<void>
  start(): Promise<void>
  /** How often it was asked. */
  requests(): number
}

export async function startKeyServer(document: unknown): Promise<KeyServer> {
  let published = JSON.stringify(document)
  let requests = 0
  let port = 0
  let server: Server | undefined

  async function start(): Promise<void> {
    server = createServer((_request, response) => {
      requests += 1
      response.setHeader('content-type', 'application/json; charset=UTF-8')
      response.setHeader('cache-control', 'public, max-age=21600, must-revalidate, no-transform')
      response.end(published)
    })
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    port = (server.address() as AddressInfo).port
  }

  async function stop(): Promise<void> {
    if (server === undefined) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    server = undefined
    await closed
  }

  await start()
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    publish: (next) => (published = JSON.stringify(next)),
    stop,
    start,
    requests: () => requests,
    [Symbol.asyncDispose]: stop,
  }
}
