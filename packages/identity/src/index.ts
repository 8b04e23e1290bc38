import { defineFeature } from '@quayside/platform/feature'
import { createDirectory } from './directory.ts'
import { createIdentitiesRepository } from './identities.repository.ts'

/** People and the identities they come with. Other tables refer to `users(id)`. */
export const identity = defineFeature({
  name: 'identity',
  migrations: new URL('../migrations/', import.meta.url),
  setup({ sql, transaction, clock, newId }) {
    const identities = createIdentitiesRepository({ sql })
    return { users: createDirectory({ identities, transaction, clock, newId }) }
  },
})
