import type { Sql } from '@quayside/platform/database/connect'

export interface ProfileRow {
  readonly displayName: string | null
  readonly locale: string | null
  readonly timeZone: string | null
}

export type ProfilesRepository = ReturnType<typeof createProfilesRepository>

/** SQL for profiles. */
export function createProfilesRepository({ sql }: { sql: Sql }) {
  return {
    async find(userId: string): Promise<ProfileRow | undefined> {
      const [row] = await sql<ProfileRow[]>`
        select display_name as "displayName", locale, time_zone as "timeZone"
        from profiles where user_id = ${userId}`
      return row
    },

    async findForUpdate(userId: string): Promise<ProfileRow | undefined> {
      const [row] = await sql<ProfileRow[]>`
        select display_name as "displayName", locale, time_zone as "timeZone"
        from profiles where user_id = ${userId} for update`
      return row
    },

    /** Makes the row that a change then locks; nothing happens when there is one. */
    async insertEmpty(userId: string, at: string): Promise<void> {
      await sql`
        insert into profiles (user_id, updated_at) values (${userId}, ${at})
        on conflict (user_id) do nothing`
    },

    async update(userId: string, profile: ProfileRow, at: string): Promise<void> {
      await sql`
        update profiles set display_name = ${profile.displayName}, locale = ${profile.locale},
          time_zone = ${profile.timeZone}, updated_at = ${at}
        where user_id = ${userId}`
    },
  }
}
