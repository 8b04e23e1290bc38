import { principalOf } from '@quayside/platform/auth/principal-of'
import type { App } from '@quayside/platform/feature'
import { userAccess } from '@quayside/platform/http/access'
import { ifMatch, sendConditional } from '@quayside/platform/http/preconditions'
import {
  ChangeProfile,
  ProfileParams,
  ProfileReply,
  PublicProfileReply,
} from './profiles.contract.ts'
import type { ProfilesService } from './profiles.service.ts'

/** HTTP for profiles: parse, call the service, answer. */
export function profilesRoutes({ service }: { service: ProfilesService }) {
  const config = { access: userAccess() }
  const tags = ['profiles']
  return (app: App): void => {
    app.get(
      '/auth/profile',
      { config, schema: { tags, summary: 'My profile', response: { 200: ProfileReply } } },
      async (request, reply) => {
        const profile = await service.mine(principalOf(request))
        return sendConditional(request, reply, { profile })
      },
    )

    app.patch(
      '/auth/profile',
      {
        config,
        schema: {
          tags,
          summary: 'Change my profile',
          body: ChangeProfile,
          response: { 200: ProfileReply },
        },
      },
      async (request) => ({
        profile: await service.change(principalOf(request), request.body, ifMatch(request)),
      }),
    )

    app.get(
      '/auth/profiles/:userId',
      {
        config,
        schema: {
          tags,
          summary: "Somebody's profile",
          params: ProfileParams,
          response: { 200: PublicProfileReply },
        },
      },
      async (request, reply) => {
        const profile = await service.of(request.params.userId)
        return sendConditional(request, reply, { profile })
      },
    )
  }
}
