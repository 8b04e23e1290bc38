import assert from 'node:assert/strict'
import type { Contestant } from './contestants.ts'
import type { BenchDatabase } from './database.ts'
import type { LoadTask } from './load.ts'

export interface Caller {
  readonly userId: string
  readonly token: string
}

export const path = '/auth/orders?limit=20'

/**
 * Asks every contestant for every caller's page, and fails unless all of them answer with the same
 * bytes and those are the newest rows of the database. Returns what the load generator is to send.
 */
export async function assertSameBytes(
  contestants: readonly Contestant[],
  callers: readonly Caller[],
  database: BenchDatabase,
): Promise<LoadTask['requests']> {
  const requests: { head: string; bodyLength: number }[] = []
  for (const caller of callers) {
    const [first, ...others] = contestants
    if (first === undefined) throw new Error('There is nobody to ask.')
    const reference = await fetchPage(first.port, caller)
    assertRightRows(reference, await newestIds(database, caller))
    for (const other of others) {
      const page = await fetchPage(other.port, caller)
      assertEqualText(page, reference, `(${other.letter}) against (${first.letter})`)
    }
    const bodyLength = Buffer.byteLength(reference)
    requests.push({ head: requestHead(caller), bodyLength })
  }
  return requests
}

/** One page as text; throws on every status but 200. */
export async function fetchPage(port: number, caller: { token: string }): Promise<string> {
  const headers = { authorization: `Bearer ${caller.token}`, connection: 'close' }
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers })
  const text = await response.text()
  if (response.status !== 200) throw new Error(`Answered ${response.status}: ${text}`)
  return text
}

/** The headers that a phone's client sends, and no more. */
function requestHead({ token }: Caller): string {
  return [
    `GET ${path} HTTP/1.1`,
    'Host: 127.0.0.1',
    'Accept: application/json',
    'User-Agent: bench',
    `Authorization: Bearer ${token}`,
    '\r\n',
  ].join('\r\n')
}

async function newestIds({ sql }: BenchDatabase, { userId }: Caller): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select id from orders where user_id = ${userId}
    order by created_at desc, id desc limit 20`
  return rows.map((row) => row.id)
}

/** Says where two pages part, which in two kilobytes the assertion's own message does not show. */
function assertEqualText(page: string, reference: string, who: string): void {
  if (page === reference) return
  let same = 0
  while (page[same] === reference[same]) same += 1
  const around = (text: string) => text.slice(Math.max(0, same - 40), same + 40)
  throw new Error(`${who} answers differently: …${around(page)}… against …${around(reference)}…`)
}

function assertRightRows(page: string, ids: readonly string[]): void {
  const parsed: { orders: { id: string }[]; nextCursor: unknown } = JSON.parse(page)
  assert.equal(ids.length, 20)
  assert.deepEqual(
    parsed.orders.map((order) => order.id),
    ids,
  )
  assert.equal(typeof parsed.nextCursor, 'string')
}
