import { connect as openSocket, type Socket } from 'node:net'
import type { ParsedOptions } from 'postgres'

/**
 * Opens the pool's sockets and cuts one that was written to and has heard nothing for `silenceMs`.
 * The server ends long statements itself, so a longer silence means that packets vanish; without
 * this a request would hang until TCP gives up, a quarter of an hour later. One timer looks at all
 * sockets: a timeout on each would have to be set back at every read and write.
 */
export function createSocketWatch(silenceMs: number) {
  const sockets = new Map<Socket, Progress>()
  let timer: NodeJS.Timeout | undefined

  function look(): void {
    const nowMs = performance.now()
    for (const [socket, progress] of sockets) {
      if (socket.bytesWritten <= progress.answered) progress.waitingSinceMs = undefined
      else progress.waitingSinceMs ??= nowMs
      const { waitingSinceMs = nowMs } = progress
      if (nowMs - waitingSinceMs >= silenceMs) socket.destroy(new DatabaseSilence())
    }
  }

  return {
    openSockets: () => sockets.size,
    open: (options: ParsedOptions): Socket => {
      const host = options.host[0] ?? '127.0.0.1'
      const port = options.port[0] ?? 5432
      const socket = options.path
        ? openSocket({ path: options.path })
        : openSocket({ host, port, keepAlive: true, noDelay: true })
      const progress: Progress = { answered: 0, waitingSinceMs: undefined }
      sockets.set(socket, progress)
      socket.on('data', () => {
        progress.answered = socket.bytesWritten
        progress.waitingSinceMs = undefined
      })
      timer ??= setInterval(look, Math.min(500, silenceMs / 4)).unref()
      socket.once('close', () => {
        sockets.delete(socket)
        if (sockets.size > 0) return
        clearInterval(timer)
        timer = undefined
      })
      // The driver reads these two when it starts TLS.
      return Object.assign(socket, { host, port })
    },
  }
}

interface Progress {
  /** Bytes that had been written when something was last heard. */
  answered: number
  /** When a look first found bytes that nothing had answered. */
  waitingSinceMs: number | undefined
}

class DatabaseSilence extends Error {
  override readonly name = 'DatabaseSilence'
  readonly code = 'CONNECTION_SILENT'
  constructor() {
    super('The database stopped answering.')
  }
}
