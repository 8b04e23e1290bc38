import { Ajv } from 'ajv'
import type { TSchema } from 'typebox'

/** What is wrong with a value, in words that do not repeat the value. */
export interface ConfigIssue {
  /** Where in the value, for example `/audience`; empty for the value itself. */
  readonly path: string
  readonly message: string
}

/** Checks one value against a schema; undefined when it fits. */
export type CheckValue = (schema: TSchema, value: unknown) => ConfigIssue | undefined

/**
 * Makes the check that the configuration uses: Ajv, which is there for requests anyway. TypeBox's
 * own validator would take 4 MB of every idle server.
 */
export function createConfigCheck(): CheckValue {
  const ajv = new Ajv()
  return (schema, value) => {
    if (ajv.validate(schema, value)) return undefined
    const [error] = ajv.errors ?? []
    return { path: error?.instancePath ?? '', message: error?.message ?? 'is not valid' }
  }
}
