import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import postgres from 'postgres'
import { createTestDatabase, type TestDatabase } from '../testing/test-database.ts'
import { isDatabaseUnavailable } from './unavailable.ts'

const fault = new Error('the work fails')

/** Something that one side waits for and the other side does. */
function createGate() {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { reached: promise, open: resolve }
}

describe('transactions', { timeout: 60_000 }, () => {
  let db: TestDatabase
  let observer: postgres.Sql
  before(async () => {
    db = await createTestDatabase()
    observer = postgres(db.url, { max: 2, onnotice: () => undefined })
    await db.sql`create table entries (name text primary key, amount int not null default 0)`
  })
  beforeEach(() => observer`truncate entries`)
  after(async () => {
    await observer.end()
    await db.close()
  })

  const add = (name: string) => db.sql`insert into entries (name) values (${name})`
  const names = async () =>
    (await observer<{ name: string }[]>`select name from entries order by name`).map(
      (row) => row.name,
    )
  const backendPid = async () => {
    const [row] = await db.sql<{ pid: number }[]>`select pg_backend_pid() as pid`
    assert(row)
    return row.pid
  }

  test('what it returns comes back, and what it wrote is there', async () => {
    const answer = await db.transaction(async () => {
      await add('a')
      assert.deepEqual(await names(), [], 'seen before the commit')
      return 'done'
    })
    assert.equal(answer, 'done')
    assert.deepEqual(await names(), ['a'])
  })

  test('sql joins the transaction of its asynchronous context, however deep it is called', async () => {
    const deep = async () => {
      await new Promise((resolve) => setTimeout(resolve, 1))
      return backendPid()
    }
    await db.transaction(async () => {
      const outer = await backendPid()
      assert.equal(await deep(), outer)
      assert.deepEqual(await Promise.all([deep(), deep(), deep()]), [outer, outer, outer])
    })
  })

  test('two transactions at once never mix', async () => {
    const both = await Promise.allSettled([
      db.transaction(async () => {
        await add('kept')
        await new Promise((resolve) => setTimeout(resolve, 5))
        await add('kept too')
      }),
      db.transaction(async () => {
        await add('dropped')
        await new Promise((resolve) => setTimeout(resolve, 5))
        throw fault
      }),
    ])
    assert.deepEqual(
      both.map(({ status }) => status),
      ['fulfilled', 'rejected'],
    )
    assert.deepEqual(await names(), ['kept', 'kept too'])
  })

  test('every way of sending SQL joins it', async () => {
    await assert.rejects(
      db.transaction(async () => {
        await db.sql.unsafe(`insert into entries (name) values ('unsafe')`)
        await db.sql.file(new URL('testing/insert-entry.sql', import.meta.url).pathname)
        await db.sql`insert into entries ${db.sql([{ name: 'built' }])}`
        await db.sql`insert into ${db.sql('entries')} (name) values ('identifier')`
        const [row] = await db.sql`select count(*)::int as count from entries`
        assert.equal(row?.count, 4)
        throw fault
      }),
      fault,
    )
    assert.deepEqual(await names(), [])
  })

  test('an error undoes everything, and the connection serves on', async () => {
    await assert.rejects(
      db.transaction(async () => {
        await add('a')
        await Promise.all([add('b'), add('c')])
        throw fault
      }),
      fault,
    )
    assert.deepEqual(await names(), [])
    await add('later')
    assert.deepEqual(await names(), ['later'])
  })

  test('a refused statement undoes everything, even when the work swallows the error', async () => {
    const swallowed = db.transaction(async () => {
      await add('a')
      await add('a').catch(() => undefined)
    })
    await assert.rejects(swallowed, { code: '23505' })
    assert.deepEqual(await names(), [])
  })

  test('one inside another is a savepoint: only its own changes are undone', async () => {
    await db.transaction(async () => {
      await add('outer')
      await db.transaction(async () => {
        await add('inner')
        await db.transaction(() => add('innermost'))
      })
      await assert.rejects(
        db.transaction(async () => {
          await add('undone')
          throw fault
        }),
        fault,
      )
      await assert.rejects(
        db.transaction(() => add('outer')),
        { code: '23505' },
      )
      await add('after')
    })
    assert.deepEqual(await names(), ['after', 'inner', 'innermost', 'outer'])
  })

  test('savepoints go with the transaction around them', async () => {
    await assert.rejects(
      db.transaction(async () => {
        await db.transaction(() => add('inner'))
        throw fault
      }),
      fault,
    )
    assert.deepEqual(await names(), [])
  })

  test('poolSql stays outside', async () => {
    await assert.rejects(
      db.transaction(async () => {
        await add('inside')
        await db.poolSql`insert into entries (name) values ('outside')`
        throw fault
      }),
      fault,
    )
    assert.deepEqual(await names(), ['outside'])
  })

  for (const isolation of ['read committed', 'repeatable read', 'serializable'] as const)
    test(`${isolation} is what PostgreSQL runs`, async () => {
      const level = await db.transaction(
        async () => {
          const [row] = await db.sql`select current_setting('transaction_isolation') as level`
          return row?.level as unknown
        },
        { isolation },
      )
      assert.equal(level, isolation)
    })

  test('an isolation that can no longer be chosen is refused instead of ignored', async () => {
    await assert.rejects(
      db.transaction(() => db.transaction(() => add('a'), { isolation: 'serializable' })),
      /outermost/,
    )
    assert.deepEqual(await names(), [])
  })

  test('work that is not awaited is refused once the transaction is over', async () => {
    const gate = createGate()
    let late: Promise<unknown> = Promise.resolve()
    await db.transaction(async () => {
      late = gate.reached.then(() => add('late'))
      late.catch(() => undefined)
    })
    gate.open()
    await assert.rejects(late, /transaction is over/)
    assert.deepEqual(await names(), [])
  })

  describe('conflicts', () => {
    test('a serialization failure is tried again, and the sum is right', async () => {
      await add('account')
      let runs = 0
      const deposit = () =>
        db.transaction(
          async () => {
            runs++
            const [row] = await db.sql<{ amount: number }[]>`select amount from entries`
            await new Promise((resolve) => setTimeout(resolve, 5))
            await db.sql`update entries set amount = ${(row?.amount ?? 0) + 1}`
          },
          { isolation: 'serializable' },
        )
      await Promise.all([deposit(), deposit()])
      const [row] = await observer`select amount from entries`
      assert.equal(row?.amount, 2)
      assert(runs > 2, 'the two never met')
    })

    test('a deadlock is tried again, and both succeed', async () => {
      await observer`insert into entries (name) values ('a'), ('b')`
      const [first, second] = [createGate(), createGate()]
      let runs = 0
      const touch = (name: string) =>
        db.sql`update entries set amount = amount + 1 where name = ${name}`
      const cross = (from: string, to: string, mine: typeof first, other: typeof first) =>
        db.transaction(async () => {
          runs++
          await db.sql`set local deadlock_timeout = '50ms'`
          await touch(from)
          mine.open()
          await other.reached
          await touch(to)
        })
      await Promise.all([cross('a', 'b', first, second), cross('b', 'a', second, first)])
      assert.deepEqual(
        [...(await observer`select amount from entries`)],
        [{ amount: 2 }, { amount: 2 }],
      )
      assert.equal(runs, 3)
    })

    for (const code of ['40001', '40P01'])
      test(`${code} is tried again three times and no more`, async () => {
        let runs = 0
        const hopeless = db.transaction(async () => {
          runs++
          await add('hopeless')
          await db.sql.unsafe(
            `do $$ begin raise exception 'conflict' using errcode = '${code}'; end $$`,
          )
        })
        await assert.rejects(hopeless, (error) => isDatabaseUnavailable(error))
        assert.equal(runs, 4)
        assert.deepEqual(await names(), [])
      })

    test('a conflict inside a savepoint runs the whole transaction again', async () => {
      const ran: string[] = []
      await db.transaction(async () => {
        ran.push('outer')
        await db.transaction(async () => {
          ran.push('inner')
          if (ran.length < 4)
            await db.sql`do $$ begin raise exception 'conflict' using errcode = '40001'; end $$`
        })
      })
      assert.deepEqual(ran, ['outer', 'inner', 'outer', 'inner'])
    })

    test('any other error is not tried again', async () => {
      let runs = 0
      const failing = db.transaction(async () => {
        runs++
        await db.sql`select 1 / 0`
      })
      await assert.rejects(failing, { code: '22012' })
      assert.equal(runs, 1)
    })
  })
})

describe('transactions that lose their connection', { timeout: 60_000 }, () => {
  let db: TestDatabase
  let observer: postgres.Sql
  before(async () => {
    // A single connection makes sure that the next transaction gets the one that was lost.
    db = await createTestDatabase([], { poolSize: 1 })
    observer = postgres(db.url, { max: 1, onnotice: () => undefined })
    await db.sql`create table entries (name text primary key)`
  })
  beforeEach(() => observer`truncate entries`)
  after(async () => {
    await observer.end()
    await db.close()
  })

  const add = (name: string) => db.sql`insert into entries (name) values (${name})`
  const names = async () =>
    (await observer<{ name: string }[]>`select name from entries order by name`).map(
      (row) => row.name,
    )
  const endBackends = () =>
    observer`select pg_terminate_backend(pid, 5000) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()`

  test('between two statements: rejected as unavailable at once, and nothing is half done', async () => {
    const begun = createGate()
    const lost = db.transaction(async () => {
      await add('first')
      begun.open()
      await new Promise(() => undefined)
    })
    await begun.reached
    const [rejection] = await Promise.allSettled([lost, endBackends()])
    assert.equal(rejection.status, 'rejected')
    assert(isDatabaseUnavailable(rejection.reason))
    assert.deepEqual(await names(), [])
    await add('next')
    assert.deepEqual(await names(), ['next'])
  })

  test('in the middle of a statement: the same', async () => {
    for (let round = 0; round < 5; round++) {
      const begun = createGate()
      const lost = db.transaction(async () => {
        await add('first')
        begun.open()
        await db.sql`select pg_sleep(30)`
      })
      await begun.reached
      const [rejection] = await Promise.allSettled([lost, endBackends()])
      assert.equal(rejection.status, 'rejected')
      assert(isDatabaseUnavailable(rejection.reason))
      await add(`next ${round}`).catch(() => add(`next ${round}`))
    }
    assert.deepEqual(await names(), ['next 0', 'next 1', 'next 2', 'next 3', 'next 4'])
  })

  test('inside a savepoint: the same', async () => {
    const begun = createGate()
    const lost = db.transaction(async () => {
      await add('outer')
      await db.transaction(async () => {
        await add('inner')
        begun.open()
        await db.sql`select pg_sleep(30)`
      })
    })
    await begun.reached
    const [rejection] = await Promise.allSettled([lost, endBackends()])
    assert.equal(rejection.status, 'rejected')
    await add('next').catch(() => add('next'))
    assert.deepEqual(await names(), ['next'])
  })

  test('its work can neither write outside of it nor touch the transaction after it', async () => {
    const [begun, secondHalf, goneOn] = [createGate(), createGate(), createGate()]
    const lost = db.transaction(async () => {
      await add('first')
      begun.open()
      await secondHalf.reached
      try {
        await add('second')
      } finally {
        goneOn.open()
      }
    })
    await begun.reached
    const [rejection] = await Promise.allSettled([lost, endBackends()])
    assert.equal(rejection.status, 'rejected')
    assert(isDatabaseUnavailable(rejection.reason))

    const answer = await db.transaction(async () => {
      await add('innocent')
      secondHalf.open()
      await goneOn.reached
      // Time for a stray commit or rollback to arrive.
      await new Promise((resolve) => setTimeout(resolve, 300))
      await add('innocent too')
      const [row] = await db.sql`select pg_current_xact_id_if_assigned() is not null as same`
      return row?.same as unknown
    })
    assert.equal(answer, true)
    assert.deepEqual(await names(), ['innocent', 'innocent too'])
  })

  test('under many at once no transaction is half there, and none that succeeded is gone', async () => {
    const many = await createTestDatabase([], { poolSize: 4 })
    try {
      await many.sql`create table halves (pair int, half int)`
      await many.sql`select array[1]`
      const done = new Set<number>()
      let pairs = 0
      const write = async () => {
        const pair = pairs++
        try {
          await many.transaction(async () => {
            await many.sql`insert into halves values (${pair}, 1)`
            await new Promise((resolve) => setTimeout(resolve, pair % 4))
            await many.sql`insert into halves values (${pair}, 2)`
          })
          done.add(pair)
        } catch (error) {
          assert(isDatabaseUnavailable(error), String(error))
        }
      }
      const end = postgres(many.url, { max: 1 })
      while (done.size < 40 || pairs - done.size < 10) {
        const writers = Array.from({ length: 8 }, write)
        // Connections are ended in the middle of the round, but not while they are being made:
        // there the driver leaves a rejection of its own unhandled.
        await new Promise((resolve) => setTimeout(resolve, 10))
        await end`select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null
            and state = 'idle in transaction'`
        await Promise.all(writers)
      }
      const rows = await end<{ pair: number; halves: number[] }[]>`
        select pair, array_agg(half order by half) as halves from halves group by pair`
      await end.end()
      for (const { pair, halves } of rows) assert.deepEqual(halves, [1, 2], `pair ${pair}`)
      const there = new Set(rows.map(({ pair }) => pair))
      assert.deepEqual(
        [...done].filter((pair) => !there.has(pair)),
        [],
      )
    } finally {
      await many.close()
    }
  })
})
