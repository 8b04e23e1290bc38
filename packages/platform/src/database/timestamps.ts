/**
 * PostgreSQL's text for a `timestamptz` in a UTC session (`2026-11-20 12:00:00.123+00`) as ISO
 * 8601 with milliseconds (`2026-11-20T12:00:00.123Z`). Finer digits are cut, not rounded, so that
 * a time never moves into the future. `infinity` and years beyond 9999 are returned as they are.
 */
export function isoTimestamp(text: string): string {
  if (text.charCodeAt(4) !== hyphen) return text
  const end = text.length - (text.charCodeAt(text.length - 3) === plus ? 3 : 0)
  const whole = `${text.slice(0, 10)}T${text.slice(11, 19)}`
  if (end <= 19) return `${whole}.000Z`
  return `${whole}${text.slice(19, Math.min(end, 23)).padEnd(4, '0')}Z`
}

/** A `date` stays the calendar day that it is: `2026-11-20`. */
export function isoDate(text: string): string {
  return text
}

const hyphen = 45
const plus = 43
