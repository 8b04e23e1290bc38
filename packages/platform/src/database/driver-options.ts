import { createDatabaseSockets } from './sockets.ts'
import { readTls } from './tls.ts'

/** What the driver gets besides the URL, for every connection to it. */
export function driverOptions(options: {
  readonly url: string
  readonly caFile?: string | undefined
  readonly silenceMs?: number
}) {
  const { url, caFile, silenceMs } = options
  const { hostname, port, pathname } = new URL(url)
  const [, address] = /^\[(.+)\]$/.exec(hostname) ?? []
  const sockets = createDatabaseSockets({
    tls: readTls(url, caFile),
    ...(silenceMs !== undefined && { silenceMs }),
    // The driver cuts an IPv6 address at its first colon.
    ...(address !== undefined && { host: address, port: Number(port || 5432) }),
  })
  return {
    sockets,
    options: {
      // The driver does not decode the name.
      ...(pathname.length > 1 && { database: decodeURIComponent(pathname.slice(1)) }),
      ssl: false as const,
      // The driver honours it, though its types do not know it. TLS is started there.
      socket: sockets.open,
    },
  }
}
