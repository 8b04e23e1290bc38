import type { ErrorCatalogue } from '@quayside/platform/errors'
import { type Static, Type } from 'typebox'

/** An order on the wire. `total` is an exact decimal with at most two places. */
export const Order = Type.Object({
  id: Type.String({ format: 'uuid' }),
  item: Type.String(),
  total: Type.Number(),
  createdAt: Type.String({ format: 'date-time', description: 'ISO 8601, UTC, milliseconds' }),
})
export type Order = Static<typeof Order>

export const PlaceOrder = Type.Object(
  {
    id: Type.Optional(
      Type.String({
        format: 'uuid',
        description: 'A UUIDv7 made by the client; makes retries safe',
      }),
    ),
    item: Type.String({ minLength: 1, maxLength: 200 }),
    total: Type.Number({ minimum: 0, maximum: 9_999_999_999.99, maxDecimals: 2 }),
  },
  { additionalProperties: false },
)
export type PlaceOrder = Static<typeof PlaceOrder>

export const OrderReply = Type.Object({ order: Order })
export const OrderList = Type.Object({
  orders: Type.Array(Order),
  nextCursor: Type.Union([Type.String(), Type.Null()]),
})
export const OrderParams = Type.Object({ id: Type.String({ format: 'uuid' }) })

export const orderErrorCatalogue = {
  order_not_found: [404, 'There is no such order.'],
  order_id_taken: [409, 'There already is another order with this id.'],
} as const satisfies ErrorCatalogue
