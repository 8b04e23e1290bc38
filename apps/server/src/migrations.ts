import { loadMigrations, type Migration } from '@quayside/platform/database/migrate'
import { platformMigrations } from '@quayside/platform/database/platform-migrations'
import { features } from './features.ts'

/** Every migration of this backend, in the order in which they are applied. */
export function serverMigrations(): Promise<Migration[]> {
  return loadMigrations([platformMigrations, ...features])
}
