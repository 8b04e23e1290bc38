import type { ErrorCatalogue } from '@quayside/platform/errors'
import { type Static, Type } from 'typebox'

const nullable = Type.Union([Type.String(), Type.Null()])

/** A person's own profile. What was never set is null. */
export const Profile = Type.Object({
  userId: Type.String({ format: 'uuid' }),
  displayName: nullable,
  locale: Type.Union([Type.String(), Type.Null()], { description: 'BCP 47, for example de-AT' }),
  timeZone: Type.Union([Type.String(), Type.Null()], {
    description: 'IANA, for example Europe/Vienna',
  }),
  pictureUrl: nullable,
})
export type Profile = Static<typeof Profile>

/** What others see of a person. */
export const PublicProfile = Type.Object({
  userId: Type.String({ format: 'uuid' }),
  displayName: nullable,
  pictureUrl: nullable,
})
export type PublicProfile = Static<typeof PublicProfile>

/** Members that are left out stay as they are; null clears one. */
export const ChangeProfile = Type.Object(
  {
    displayName: Type.Optional(
      Type.Union([Type.String({ minLength: 1, maxLength: 100 }), Type.Null()]),
    ),
    locale: Type.Optional(Type.Union([Type.String({ minLength: 2, maxLength: 35 }), Type.Null()])),
    timeZone: Type.Optional(
      Type.Union([Type.String({ minLength: 1, maxLength: 64 }), Type.Null()]),
    ),
  },
  { additionalProperties: false, minProperties: 1 },
)
export type ChangeProfile = Static<typeof ChangeProfile>

export const ProfileReply = Type.Object({ profile: Profile })
export const PublicProfileReply = Type.Object({ profile: PublicProfile })
export const ProfileParams = Type.Object({ userId: Type.String({ format: 'uuid' }) })

export const profileErrorCatalogue = {
  profile_not_found: [404, 'There is no such person.'],
  locale_unknown: [400, 'This is not a language tag (BCP 47).'],
  time_zone_unknown: [400, 'This is not a time zone of the IANA database.'],
  display_name_invalid: [400, 'A display name has visible characters and no control characters.'],
} as const satisfies ErrorCatalogue
