import { principalOf } from '@quayside/platform/auth/principal-of'
import type { App } from '@quayside/platform/feature'
import { userAccess } from '@quayside/platform/http/access'
import { PageQuery } from '@quayside/platform/http/pagination'
import { ifMatch, sendConditional } from '@quayside/platform/http/preconditions'
import { Type } from 'typebox'
import { OrderList, OrderParams, OrderReply, PlaceOrder } from './orders.contract.ts'
import type { OrdersService } from './orders.service.ts'

/** HTTP for orders: parse, call the service, answer. */
export function ordersRoutes({ service }: { service: OrdersService }) {
  const config = { access: userAccess() }
  const tags = ['orders']
  return (app: App): void => {
    app.post(
      '/auth/orders',
      {
        config,
        schema: {
          tags,
          summary: 'Place an order',
          body: PlaceOrder,
          response: { 201: OrderReply },
        },
      },
      async (request, reply) => {
        const order = await service.place(principalOf(request), request.body)
        reply.status(201).header('location', `/auth/orders/${order.id}`)
        return { order }
      },
    )

    app.get(
      '/auth/orders',
      {
        config,
        schema: {
          tags,
          summary: 'My orders, newest first',
          querystring: PageQuery,
          response: { 200: OrderList },
        },
      },
      async (request) => service.list(principalOf(request), request.query),
    )

    app.get(
      '/auth/orders/:id',
      {
        config,
        schema: { tags, summary: 'One order', params: OrderParams, response: { 200: OrderReply } },
      },
      async (request, reply) => {
        const order = await service.get(principalOf(request), request.params.id)
        return sendConditional(request, reply, { order })
      },
    )

    app.delete(
      '/auth/orders/:id',
      {
        config,
        schema: {
          tags,
          summary: 'Cancel an order',
          params: OrderParams,
          response: { 204: Type.Null() },
        },
      },
      async (request, reply) => {
        await service.cancel(principalOf(request), request.params.id, ifMatch(request))
        reply.status(204)
      },
    )
  }
}
