import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { isIP, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'

/** How a connection to PostgreSQL is protected. */
export interface DatabaseTls {
  readonly options: ConnectionOptions
  /** `sslmode=prefer`: goes on in the clear when the server has no TLS. */
  readonly isOptional: boolean
}

/**
 * A CA file turns TLS on, with the chain and the host name checked. Without one the URL's
 * `sslmode` decides as in libpq: `verify-full` checks both against the system's authorities,
 * `require` encrypts without knowing to whom, and without any of them there is no TLS.
 */
export function readTls(url: string, caFile: string | undefined): DatabaseTls | undefined {
  if (caFile) return { options: { ca: readFileSync(caFile, 'utf8') }, isOptional: false }
  const { searchParams } = new URL(url)
  const mode = searchParams.get('sslmode') ?? searchParams.get('ssl') ?? 'disable'
  if (mode === 'disable' || mode === 'false') return undefined
  if (mode === 'verify-full' || mode === 'verify-ca') return { options: {}, isOptional: false }
  return {
    options: { rejectUnauthorized: false },
    isOptional: mode === 'prefer' || mode === 'allow',
  }
}

/** Turns a connected socket into an encrypted one (PostgreSQL's manual, section 54.2.11). */
export async function startTls(
  socket: Socket,
  { host, tls, signal }: { host: string; tls: DatabaseTls; signal: AbortSignal },
): Promise<Socket> {
  socket.write(sslRequest)
  const [answer] = (await once(socket, 'data', { signal })) as [Buffer]
  // What comes with the answer was put there by somebody in between (CVE-2021-23222).
  if (answer.length !== 1 || answer[0] !== willing) {
    if (tls.isOptional && answer.toString('latin1') === 'N') return socket
    throw new Error('The database does not speak TLS.')
  }
  const name = isIP(host) === 0 ? { servername: host } : {}
  const secured = connectTls({ ...tls.options, ...name, host, socket })
  await once(secured, 'secureConnect', { signal })
  return secured
}

const sslRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])
const willing = 'S'.charCodeAt(0)
