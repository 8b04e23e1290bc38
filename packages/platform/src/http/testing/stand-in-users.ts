import { createHash } from 'node:crypto'
import { defineFeature, type Feature } from '../../feature.ts'

/**
 * Stands in for identity, which the platform knows nothing of: the same issuer and subject are
 * always the same user, and nothing is stored.
 */
export const standInUsers: Feature = defineFeature({
  name: 'stand-in-users',
  setup: () => ({
    users: {
      resolve: async ({ issuer, subject }) => standInUserId(issuer, subject),
      exists: async () => true,
    },
  }),
})

/** The id that `standInUsers` gives a person. */
export function standInUserId(issuer: string, subject: string): string {
  const hex = createHash('sha256').update(`${issuer} ${subject}`).digest('hex')
  return hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-7$3-8$4-$5')
}
