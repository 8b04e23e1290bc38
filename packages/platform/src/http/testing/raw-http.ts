import { connect } from 'node:net'
import type { App } from '../../feature.ts'

/** A reply as it came over the wire. */
export interface RawReply {
  readonly status: number
  /** By lower-case name; of several the last. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  json(): Record<string, unknown>
}

/** Listens on a free port of this machine; closing the application ends it. */
export async function listen(http: App): Promise<number> {
  await http.listen({ port: 0, host: '127.0.0.1' })
  const address = http.server.address()
  if (typeof address !== 'object' || !address) throw new Error('The application does not listen.')
  return address.port
}

/**
 * Sends bytes exactly as they are, for requests that no client would make, and gives every reply
 * that comes before the server closes. The last request of `bytes` should ask for that, unless the
 * server closes anyway. A server that does neither fails the test after ten seconds.
 */
export async function sendRaw(port: number, bytes: string | Buffer): Promise<RawReply[]> {
  return parseReplies(await exchange(port, bytes))
}

function exchange(port: number, bytes: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    const chunks: Buffer[] = []
    socket.setTimeout(10_000, () =>
      socket.destroy(new Error('The server neither answered nor closed.')),
    )
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // A server that refuses early closes while we still send.
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error)
    })
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')))
    socket.write(bytes, 'latin1')
  })
}

function parseReplies(text: string): RawReply[] {
  const replies: RawReply[] = []
  let rest = text
  while (rest.startsWith('HTTP/1.1 ')) {
    const end = rest.indexOf('\r\n\r\n')
    const [statusLine = '', ...lines] = rest.slice(0, end).split('\r\n')
    const headers: Record<string, string> = {}
    for (const line of lines) {
      const colon = line.indexOf(':')
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim()
    }
    const length = Number(headers['content-length'] ?? 0)
    const body = Buffer.from(rest.slice(end + 4, end + 4 + length), 'latin1').toString('utf8')
    replies.push({
      status: Number(statusLine.slice(9, 12)),
      headers,
      body,
      json: () => JSON.parse(body) as Record<string, unknown>,
    })
    rest = rest.slice(end + 4 + length)
  }
  return replies
}
