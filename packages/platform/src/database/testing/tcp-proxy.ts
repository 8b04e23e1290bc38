import { connect, createServer, type Socket } from 'node:net'
import { once } from 'node:events'

/** A way to a service that can be made to fail as networks do. */
export interface TcpProxy {
  readonly port: number
  /** From here on every byte vanishes, both ways, and nobody is told: the half-open case. */
  swallow(): void
  /** Bytes pass again, for connections made from now on and for those that are still there. */
  pass(): void
  /** Accepts and hangs up at once, as a balancer without anything behind it does. */
  hangUp(): void
  /** Ends every connection as a crashed host does, with a reset. */
  reset(): void
  /** Connections that clients hold open right now. */
  connections(): number
  close(): Promise<void>
}

/** Makes a proxy on a free loopback port in front of a loopback port. */
export async function createTcpProxy(targetPort: number): Promise<TcpProxy> {
  let mode: 'pass' | 'swallow' | 'hangUp' = 'pass'
  const sockets = new Set<Socket>()
  const clients = new Set<Socket>()

  const keep = (socket: Socket) => {
    sockets.add(socket)
    // A reset is one of the things that happen here; the other side learns of it by `close`.
    socket.on('error', () => undefined)
    socket.once('close', () => sockets.delete(socket))
  }
  const copy = (from: Socket, to: Socket) => {
    from.on('data', (chunk: Buffer) => {
      if (mode === 'pass') to.write(chunk)
    })
    from.once('end', () => mode === 'pass' && to.end())
    from.once('close', () => mode === 'pass' && to.destroy())
  }
  const server = createServer((client) => {
    keep(client)
    clients.add(client)
    client.once('close', () => clients.delete(client))
    if (mode === 'hangUp') return void client.end()
    const target = connect(targetPort, '127.0.0.1')
    keep(target)
    copy(client, target)
    copy(target, client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('No port was given.')
  return {
    port: address.port,
    swallow: () => void (mode = 'swallow'),
    pass: () => void (mode = 'pass'),
    hangUp: () => void (mode = 'hangUp'),
    reset() {
      for (const client of clients) client.resetAndDestroy()
    },
    connections: () => clients.size,
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
