import type postgres from 'postgres'

export const rowCount = 100_000
export const userCount = 1_000

/**
 * Fills `orders`: 100,000 rows over 1,000 users, in the order of time and so with each user's rows
 * far apart on disk, as they come in real life. `userIds` are the first of the users.
 */
export async function seedOrders(sql: postgres.Sql, userIds: readonly string[]): Promise<void> {
  const others = userCount - userIds.length
  await sql.begin(async (tx) => {
    await tx`create temp table bench_users (position serial primary key, id uuid) on commit drop`
    await tx`insert into bench_users (id) select * from unnest(${[...userIds]}::uuid[])`
    await tx`insert into bench_users (id) select gen_random_uuid() from generate_series(1, ${others})`
    await tx`
      insert into users (id, created_at) select id, now() from bench_users
      on conflict (id) do nothing`
    // The cents are never a multiple of ten: 20.00 is `20` for JavaScript and `20.0` for Python,
    // and the replies of all contestants have to be equal to the byte.
    await tx`
      insert into orders (id, user_id, item, total, created_at)
      select md5('order ' || n)::uuid, bench_users.id,
        (array['Espresso', 'Café crème', 'Bagel with salmon', 'Apple', 'Sparkling water 0.5 l'])
          [1 + n / ${userCount}::int % 5] || ' ' || n,
        n * 7919 % 5000 + (n % 10 * 10 + n % 9 + 1) / 100.0,
        timestamptz '2026-01-01 00:00:00+00' + n * interval '251123 ms'
          + n / ${userCount}::int * interval '137 ms'
      from generate_series(1, ${rowCount}::int) as n
      join bench_users on bench_users.position = 1 + n % ${userCount}::int
      order by n`
  })
  await sql`vacuum analyze orders`
}
