import type { Principal } from '@quayside/platform/auth/principal'
import { defineErrors } from '@quayside/platform/errors'
import type { Platform } from '@quayside/platform/feature'
import type { Precondition } from '@quayside/platform/http/preconditions'
import {
  type ChangeProfile,
  type Profile,
  type PublicProfile,
  profileErrorCatalogue,
} from './profiles.contract.ts'
import type { ProfileRow, ProfilesRepository } from './profiles.repository.ts'

const errors = defineErrors(profileErrorCatalogue)

interface Deps extends Pick<Platform, 'transaction' | 'clock' | 'users'> {
  readonly profiles: ProfilesRepository
}

export type ProfilesService = ReturnType<typeof createProfilesService>

/** Rules of profiles. Everybody has one from the start; the row is made by the first change. */
export function createProfilesService({ profiles, transaction, clock, users }: Deps) {
  return {
    async mine({ userId }: Principal): Promise<Profile> {
      return present(userId, await profiles.find(userId))
    },

    async change(
      { userId }: Principal,
      change: ChangeProfile,
      precondition: Precondition,
    ): Promise<Profile> {
      const wanted = clean(change)
      return transaction(async () => {
        await profiles.insertEmpty(userId, clock.now().toISOString())
        const current = await profiles.findForUpdate(userId)
        precondition(present(userId, current))
        const row = { ...empty, ...current, ...wanted }
        await profiles.update(userId, row, clock.now().toISOString())
        return present(userId, row)
      })
    },

    async of(userId: string): Promise<PublicProfile> {
      const row = await profiles.find(userId)
      if (!row && !(await users.exists(userId))) throw errors.profile_not_found()
      const { displayName, pictureUrl } = present(userId, row)
      return { userId: userId.toLowerCase(), displayName, pictureUrl }
    },
  }
}

const empty: ProfileRow = { displayName: null, locale: null, timeZone: null }

function present(userId: string, row: ProfileRow = empty): Profile {
  return { userId, ...row, pictureUrl: null }
}

/** Brings a language tag to its canonical form and refuses what no library could use. */
function clean(change: ChangeProfile): Partial<ProfileRow> {
  const { displayName, locale, timeZone } = change
  if (displayName && !isPresentable(displayName)) throw errors.display_name_invalid()
  if (timeZone && !isTimeZone(timeZone)) throw errors.time_zone_unknown()
  return {
    ...(displayName !== undefined && { displayName }),
    ...(locale !== undefined && { locale: locale && canonicalLocale(locale) }),
    ...(timeZone !== undefined && { timeZone }),
  }
}

function isPresentable(name: string): boolean {
  return /\S/u.test(name) && !/\p{Cc}/u.test(name)
}

function canonicalLocale(tag: string): string {
  try {
    const [locale] = Intl.getCanonicalLocales(tag)
    if (locale) return locale
  } catch (cause) {
    throw errors.locale_unknown({ cause })
  }
  throw errors.locale_unknown()
}

function isTimeZone(name: string): boolean {
  // An offset such as +02:00 is accepted by Intl, but it knows no summer time.
  if (!/^[A-Za-z][A-Za-z0-9_+/-]*$/.test(name)) return false
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}
