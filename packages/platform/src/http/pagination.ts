import { Type, type Static } from 'typebox'
import { commonErrors } from '../errors.ts'

/** Query of every list: `limit` (1–200, default 50) and an opaque `cursor`. */
export const PageQuery = Type.Object(
  {
    limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }),
    cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
  },
  { additionalProperties: false },
)
export type PageQuery = Static<typeof PageQuery>

/** Where a list goes on: after the row with this time and id. */
export interface PagePosition {
  /** ISO 8601 with milliseconds. */
  readonly at: string
  readonly id: string
}

export interface Page<Item> {
  readonly items: Item[]
  readonly nextCursor: string | null
}

/** Reads a cursor that `pageOf` made; anything else is refused as `invalid_request`. */
export function readCursor(cursor: string | undefined): PagePosition | undefined {
  if (cursor === undefined) return undefined
  const [, at, id] = cursorText.exec(Buffer.from(cursor, 'base64url').toString('latin1')) ?? []
  // The form alone also lets through the 31st of February, which PostgreSQL answers with an error,
  // and decoding skips characters that do not belong.
  if (!at || !id || !isInstant(at) || cursorOf({ at, id }) !== cursor)
    throw commonErrors.invalid_request({
      extra: { issues: [{ path: 'querystring/cursor', message: 'is not one of ours' }] },
    })
  return { at, id }
}

function cursorOf({ at, id }: PagePosition): string {
  return Buffer.from(`${at} ${id}`, 'latin1').toString('base64url')
}

function isInstant(at: string): boolean {
  const time = new Date(at)
  return !Number.isNaN(time.getTime()) && time.toISOString() === at && !at.startsWith('0000')
}

const cursorText =
  /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$/

/**
 * Cuts `limit + 1` rows, newest first, to a page. The row too many is only asked for to learn
 * whether there is a next page. Keyset paging: new rows never shift a later page.
 */
export function pageOf<Row extends { id: string; createdAt: string }, Item>(
  rows: readonly Row[],
  limit: number,
  present: (row: Row) => Item,
): Page<Item> {
  const count = Math.min(rows.length, limit)
  const items: Item[] = []
  // A loop, because the driver's rows are a subclass of Array, whose `slice` and `map` are slow.
  for (let index = 0; index < count; index++) {
    const row = rows[index]
    if (row) items.push(present(row))
  }
  const last = rows[count - 1]
  return {
    items,
    nextCursor: rows.length > limit && last ? cursorOf({ at: last.createdAt, id: last.id }) : null,
  }
}
