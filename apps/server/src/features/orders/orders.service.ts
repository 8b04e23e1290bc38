import type { Principal } from '@quayside/platform/auth/principal'
import { defineErrors } from '@quayside/platform/errors'
import type { Platform } from '@quayside/platform/feature'
import { type PageQuery, pageOf, readCursor } from '@quayside/platform/http/pagination'
import type { Precondition } from '@quayside/platform/http/preconditions'
import { type Order, orderErrorCatalogue, type PlaceOrder } from './orders.contract.ts'
import type { OrderRow, OrdersRepository } from './orders.repository.ts'

const errors = defineErrors(orderErrorCatalogue)

interface Deps extends Pick<Platform, 'transaction' | 'clock' | 'newId'> {
  readonly orders: OrdersRepository
}

export type OrdersService = ReturnType<typeof createOrdersService>

/** Rules of orders. An order belongs to who placed it, and only that person ever sees it. */
export function createOrdersService({ orders, transaction, clock, newId }: Deps) {
  return {
    /** A repeated call with the same id and content answers the order that is already there. */
    async place({ userId }: Principal, { id = newId(), item, total }: PlaceOrder): Promise<Order> {
      const row = await orders.insert({
        id: id.toLowerCase(),
        userId,
        item,
        total: total.toFixed(2),
        createdAt: clock.now().toISOString(),
      })
      if (row !== 'conflict') return present(row)
      const existing = await orders.find(userId, id)
      if (existing?.item !== item || Number(existing.total) !== total) throw errors.order_id_taken()
      return present(existing)
    },

    async list({ userId }: Principal, { limit, cursor }: PageQuery) {
      const rows = await orders.list(userId, limit + 1, readCursor(cursor))
      const { items, nextCursor } = pageOf(rows, limit, present)
      return { orders: items, nextCursor }
    },

    async get({ userId }: Principal, id: string): Promise<Order> {
      const row = await orders.find(userId, id)
      if (!row) throw errors.order_not_found()
      return present(row)
    },

    async cancel({ userId }: Principal, id: string, precondition: Precondition): Promise<void> {
      await transaction(async () => {
        const row = await orders.findForUpdate(userId, id)
        if (!row) throw errors.order_not_found()
        precondition(present(row))
        await orders.delete(userId, id)
      })
    },
  }
}

function present({ id, item, total, createdAt }: OrderRow): Order {
  return { id, item, total: Number(total), createdAt }
}
