import { identity } from '@quayside/identity'
import type { Feature } from '@quayside/platform/feature'
import { orders } from './features/orders/index.ts'
import { profiles } from './features/profiles/index.ts'

/**
 * What this backend can do. A feature is added here by hand, and nowhere else. Their migrations
 * run in this order, so a feature comes after those whose tables it refers to.
 */
export const features: readonly Feature[] = [identity, profiles, orders]
