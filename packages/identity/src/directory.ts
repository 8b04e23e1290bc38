import type { UserDirectory } from '@quayside/platform/auth/user-directory'
import type { Clock } from '@quayside/platform/clock'
import type { Transaction } from '@quayside/platform/database/connect'
import QuickLRU from 'quick-lru'
import type { IdentitiesRepository } from './identities.repository.ts'

export interface DirectoryDeps {
  readonly identities: IdentitiesRepository
  readonly transaction: Transaction
  readonly clock: Clock
  readonly newId: () => string
  /** Mappings kept in memory. They never change while the user exists. */
  readonly cacheEntriesMax?: number
}

/** Maps (issuer, subject) to our user, creating the user on first sight (just in time). */
export function createDirectory(deps: DirectoryDeps): UserDirectory {
  const { identities, transaction, clock, newId, cacheEntriesMax = 10_000 } = deps
  const known = new QuickLRU<string, string>({ maxSize: cacheEntriesMax })

  return {
    async resolve({ issuer, subject }) {
      // A space cannot occur in an issuer URL, so two pairs never share a key.
      const key = `${issuer} ${subject}`
      const cached = known.get(key)
      if (cached) return cached
      const userId =
        (await identities.findUserId(issuer, subject)) ?? (await create(issuer, subject))
      known.set(key, userId)
      return userId
    },
    exists: (userId) => identities.userExists(userId),
  }

  // A new phone sends its first requests in parallel; the lock makes one of them create the user
  // and the others find it.
  function create(issuer: string, subject: string): Promise<string> {
    return transaction(async () => {
      await identities.lock(issuer, subject)
      const winner = await identities.findUserId(issuer, subject)
      if (winner) return winner
      const userId = newId()
      await identities.insert({ issuer, subject, userId, createdAt: clock.now().toISOString() })
      return userId
    })
  }
}
