export interface Spread {
  readonly median: number
  readonly least: number
  readonly most: number
}

/** The middle of the rounds and how far they lie apart. Refuses an empty list. */
export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) throw new RangeError('There are no values to summarise.')
  const sorted = values.toSorted((left, right) => left - right)
  const middle = sorted.length / 2
  const median =
    sorted.length % 2 === 1
      ? pick(sorted, Math.floor(middle))
      : (pick(sorted, middle - 1) + pick(sorted, middle)) / 2
  return { median, least: pick(sorted, 0), most: pick(sorted, sorted.length - 1) }
}

/** The value below or at which `share` (0–1) of the sorted values lie (nearest rank). */
export function percentileOf(sorted: readonly number[], share: number): number {
  if (sorted.length === 0) throw new RangeError('There are no values to rank.')
  return pick(sorted, Math.max(0, Math.ceil(share * sorted.length) - 1))
}

function pick(values: readonly number[], index: number): number {
  const value = values[index]
  if (value === undefined) throw new RangeError(`There is no value at ${index}.`)
  return value
}
