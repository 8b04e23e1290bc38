import type { Sql } from '@quayside/platform/database/connect'

export type IdentitiesRepository = ReturnType<typeof createIdentitiesRepository>

/** SQL for users and the identities they come with. */
export function createIdentitiesRepository({ sql }: { sql: Sql }) {
  return {
    async findUserId(issuer: string, subject: string): Promise<string | undefined> {
      const [row] = await sql<{ userId: string }[]>`
        select user_id as "userId" from identities
        where issuer = ${issuer} and subject = ${subject}`
      return row?.userId
    },

    async userExists(userId: string): Promise<boolean> {
      const rows = await sql`select 1 from users where id = ${userId}`
      return rows.length > 0
    },

    /** Makes others who want to create the same identity wait until this transaction ends. */
    async lock(issuer: string, subject: string): Promise<void> {
      await sql`select pg_advisory_xact_lock(hashtextextended(${`${issuer} ${subject}`}, 1))`
    },

    async insert(identity: {
      issuer: string
      subject: string
      userId: string
      createdAt: string
    }): Promise<void> {
      await sql`insert into users (id, created_at) values (${identity.userId}, ${identity.createdAt})`
      await sql`
        insert into identities (issuer, subject, user_id, created_at)
        values (${identity.issuer}, ${identity.subject}, ${identity.userId}, ${identity.createdAt})`
    },
  }
}
