import type { MigrationSource } from './migrate.ts'

/** The platform's own tables: stored replies, API keys and rate limits. */
export const platformMigrations: MigrationSource = {
  name: 'platform',
  migrations: new URL('../../migrations/', import.meta.url),
}
