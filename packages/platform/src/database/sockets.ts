import { once } from 'node:events'
import { connect, Socket } from 'node:net'
import type { ParsedOptions } from 'postgres'
import { type DatabaseTls, startTls } from './tls.ts'

export interface DatabaseSocketsOptions {
  readonly tls: DatabaseTls | undefined
  /** How long a socket that was written to may hear nothing, in milliseconds; else it is cut. */
  readonly silenceMs?: number
  /** Where to connect, instead of what the driver read in the URL. */
  readonly host?: string
  readonly port?: number
}

/**
 * Opens the sockets for the driver, and makes up for what it lacks.
 *
 * A lost socket fails and closes in the same instant. The driver goes on sending queries to one
 * that has failed until it closes; those would hang, or be answered with the rows of others once
 * it has connected again.
 *
 * A silent socket is cut. The server ends long statements itself, so a longer silence means that
 * packets vanish, and a request would hang until TCP gives up, a quarter of an hour later. One
 * timer looks at all sockets: a timeout on each would have to be set back at every read and write.
 */
export function createDatabaseSockets(settings: DatabaseSocketsOptions) {
  const { silenceMs } = settings
  const sockets = new Map<Socket, Progress>()
  let timer: NodeJS.Timeout | undefined
  let losses = 0
  let failuresInARow = 0

  function look(limitMs: number): void {
    const nowMs = performance.now()
    for (const [socket, progress] of sockets) {
      if (socket.bytesWritten <= progress.answered) progress.waitingSinceMs = undefined
      else progress.waitingSinceMs ??= nowMs
      const { waitingSinceMs = nowMs } = progress
      if (nowMs - waitingSinceMs >= limitMs) socket.destroy(new DatabaseSilence())
    }
  }

  function watch(socket: Socket): Socket {
    const progress: Progress = { answered: 0, waitingSinceMs: undefined }
    sockets.set(socket, progress)
    if (silenceMs !== undefined)
      timer ??= setInterval(look, Math.min(500, silenceMs / 4), silenceMs).unref()
    socket.on('data', () => {
      progress.answered = socket.bytesWritten
      progress.waitingSinceMs = undefined
      failuresInARow = 0
    })
    failOnlyWhenClosing(socket, () => {
      losses++
      failuresInARow++
      sockets.delete(socket)
      if (sockets.size > 0) return
      clearInterval(timer)
      timer = undefined
    })
    return socket
  }

  return {
    openCount: () => sockets.size,
    /** Grows with each socket that closes, before the driver hears of it. */
    losses: () => losses,
    /** Sockets that closed since one last heard something. */
    failuresInARow: () => failuresInARow,
    /** Never rejects, because the driver would lose a place in its pool with that. */
    async open(options: ParsedOptions): Promise<Socket> {
      try {
        return watch(await openSocket(options, settings))
      } catch (error) {
        const failed = new Socket()
        setImmediate(() => failed.destroy(error instanceof Error ? error : undefined))
        return watch(failed)
      }
    },
  }
}

interface Progress {
  /** Bytes that had been written when something was last heard. */
  answered: number
  /** When a look first found bytes that nothing had answered. */
  waitingSinceMs: number | undefined
}

/** Holds an error back until the socket closes, and makes every end an error. */
function failOnlyWhenClosing(socket: Socket, onClose: () => void): void {
  const { _destroy: destroy } = socket
  let failure: Error = new ConnectionLost()
  Object.assign(socket, {
    _destroy(error: Error | null, done: (error?: Error | null) => void) {
      if (error) failure = error
      destroy.call(socket, null, done)
    },
  })
  socket.on('error', () => undefined)
  socket.once('close', () => {
    onClose()
    socket.emit('error', failure)
  })
}

async function openSocket(
  options: ParsedOptions,
  {
    tls,
    host = options.host[0] ?? '127.0.0.1',
    port = options.port[0] ?? 5432,
  }: DatabaseSocketsOptions,
): Promise<Socket> {
  if (options.path) return connect({ path: options.path })
  const socket = connect({ host, port, keepAlive: true, noDelay: true })
  if (!tls) return socket
  try {
    const signal = AbortSignal.timeout(tlsTimeoutMs)
    await once(socket, 'connect', { signal })
    return await startTls(socket, { host, tls, signal })
  } catch (error) {
    socket.on('error', () => undefined).destroy()
    throw error instanceof Error && error.name === 'AbortError' ? new DatabaseSilence() : error
  }
}

const tlsTimeoutMs = 2_000

class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost'
  readonly code = 'CONNECTION_CLOSED'
  constructor() {
    super('The database closed the connection.')
  }
}

class DatabaseSilence extends Error {
  override readonly name = 'DatabaseSilence'
  readonly code = 'CONNECTION_SILENT'
  constructor() {
    super('The database stopped answering.')
  }
}
