import type { ResolveUser } from './principal.ts'

/** What the platform and features may ask about people. The identity package provides it. */
export interface UserDirectory {
  /** Maps a verified token to our user's id, creating the user on first sight. */
  readonly resolve: ResolveUser
  /** Whether there is a user with this id. */
  exists(userId: string): Promise<boolean>
}
