import type { Config } from './config.ts'

/** Where the database is, and how to let go of it. */
export interface OpenDatabase {
  readonly url: string
  /** For the banner: what it is, without its password. */
  readonly name: string
  /** Stops the embedded PostgreSQL if this process started it. */
  stop(): Promise<void>
}

/**
 * The configured PostgreSQL, or the embedded one. A tool uses the database of a running server
 * when there is one, and else starts it for as long as it needs it.
 */
export async function openDatabase(
  config: Config,
  options: {
    role: 'server' | 'tool'
    onProgress?: (line: string) => void
    onExit?: (code: number | null) => void
  },
): Promise<OpenDatabase> {
  if (config.databaseUrl) {
    const { host, pathname } = new URL(config.databaseUrl)
    return {
      url: config.databaseUrl,
      name: `PostgreSQL at ${host}${pathname}`,
      stop: async () => {},
    }
  }
  // Loaded only here: a server on RDS has no use for it.
  const embedded = await import('@quayside/platform/database/embedded')
  const dataDir = config.QUAYSIDE_DATA_DIR
  if (options.role === 'tool') {
    const running = await embedded.attachEmbeddedPostgres({ dataDir })
    if (running) return { url: running.url, name: 'embedded PostgreSQL', stop: async () => {} }
  }
  const started = await embedded.startEmbeddedPostgres({ dataDir, ...options })
  return {
    url: started.url,
    name: `PostgreSQL ${started.version} (embedded, in ${dataDir})`,
    stop: started.stop,
  }
}
