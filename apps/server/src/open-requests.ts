import type { Server } from 'node:http'

/** Requests that are being answered right now. */
export interface OpenRequests {
  /** Resolves when none is left, or after `patienceMs`; then cuts every connection that remains. */
  finish(patienceMs: number): Promise<void>
}

/**
 * Watches a server so that it can be closed. Node's own close waits for each connection that has
 * not sent a whole request, such as one that a browser opened in advance, and no longer looks for
 * late clients while it waits; so one silent client would hold the process for ever.
 */
export function watchOpenRequests(server: Server): OpenRequests {
  let count = 0
  let onNone = (): void => undefined
  server.on('request', (_request, response) => {
    count++
    response.once('close', () => {
      count--
      if (count === 0) onNone()
    })
  })
  return {
    async finish(patienceMs) {
      if (count > 0)
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, patienceMs)
          onNone = () => {
            clearTimeout(timer)
            resolve()
          }
        })
      server.closeAllConnections()
    },
  }
}
