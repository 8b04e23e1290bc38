import type { Sql } from '@quayside/platform/database/connect'
import type { PagePosition } from '@quayside/platform/http/pagination'

export interface OrderRow {
  readonly id: string
  readonly item: string
  /** Exact decimal text, as PostgreSQL's `numeric` gives it. */
  readonly total: string
  readonly createdAt: string
}

export type OrdersRepository = ReturnType<typeof createOrdersRepository>

/** SQL for orders. Every statement names the owner, so no row of another can be reached. */
export function createOrdersRepository({ sql }: { sql: Sql }) {
  return {
    async find(userId: string, id: string): Promise<OrderRow | undefined> {
      const [row] = await sql<OrderRow[]>`
        select id, item, total, created_at as "createdAt" from orders
        where id = ${id} and user_id = ${userId}`
      return row
    },

    async findForUpdate(userId: string, id: string): Promise<OrderRow | undefined> {
      const [row] = await sql<OrderRow[]>`
        select id, item, total, created_at as "createdAt" from orders
        where id = ${id} and user_id = ${userId} for update`
      return row
    },

    /** Newest first. Two plain statements instead of one with fragments: this is the hot path. */
    async list(userId: string, limit: number, after?: PagePosition): Promise<OrderRow[]> {
      if (!after)
        return sql<OrderRow[]>`
          select id, item, total, created_at as "createdAt" from orders
          where user_id = ${userId} order by created_at desc, id desc limit ${limit}`
      return sql<OrderRow[]>`
        select id, item, total, created_at as "createdAt" from orders
        where user_id = ${userId} and (created_at, id) < (${after.at}, ${after.id})
        order by created_at desc, id desc limit ${limit}`
    },

    async insert(order: OrderRow & { userId: string }): Promise<OrderRow | 'conflict'> {
      const [row] = await sql<OrderRow[]>`
        insert into orders (id, user_id, item, total, created_at)
        values (${order.id}, ${order.userId}, ${order.item}, ${order.total}, ${order.createdAt})
        on conflict (id) do nothing
        returning id, item, total, created_at as "createdAt"`
      return row ?? 'conflict'
    },

    async delete(userId: string, id: string): Promise<void> {
      await sql`delete from orders where id = ${id} and user_id = ${userId}`
    },
  }
}
