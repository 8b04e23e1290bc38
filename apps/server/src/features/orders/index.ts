import { defineFeature } from '@quayside/platform/feature'
import { createOrdersRepository } from './orders.repository.ts'
import { ordersRoutes } from './orders.routes.ts'
import { createOrdersService } from './orders.service.ts'

/** What a person ordered: an item and what it cost. */
export const orders = defineFeature({
  name: 'orders',
  migrations: new URL('migrations/', import.meta.url),
  setup({ sql, transaction, clock, newId }) {
    const service = createOrdersService({
      orders: createOrdersRepository({ sql }),
      transaction,
      clock,
      newId,
    })
    return { routes: ordersRoutes({ service }) }
  },
})
