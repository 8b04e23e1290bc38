import { defineFeature } from '@quayside/platform/feature'
import { createProfilesRepository } from './profiles.repository.ts'
import { profilesRoutes } from './profiles.routes.ts'
import { createProfilesService } from './profiles.service.ts'

/** How a person is shown to others, and in which language and time zone they live. */
export const profiles = defineFeature({
  name: 'profiles',
  migrations: new URL('migrations/', import.meta.url),
  setup({ sql, transaction, clock, users }) {
    const service = createProfilesService({
      profiles: createProfilesRepository({ sql }),
      transaction,
      clock,
      users,
    })
    return { routes: profilesRoutes({ service }) }
  },
})
