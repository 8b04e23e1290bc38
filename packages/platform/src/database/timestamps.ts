/**
 * PostgreSQL's text for a `timestamptz` in a UTC session (`2026-11-20 12:00:00.123+00`) as ISO
 * 8601 with milliseconds (`2026-11-20T12:00:00.123Z`). Finer digits are cut, not rounded, so that
 * a time never moves into the future. `infinity` and years before 1 or beyond 9999 are returned as
 * they are.
 */
export function isoTimestamp(text: string): string {
  if (text.charCodeAt(4) !== hyphen || text.endsWith(' BC')) return text
  // Nine of ten times of a `timestamptz(3)` have this length, and a page has many of them.
  if (text.length === millisecondLength && text.charCodeAt(millisecondLength - 3) === plus)
    return `${text.slice(0, 10)}T${text.slice(11, 23)}Z`
  const end = text.length - (text.charCodeAt(text.length - 3) === plus ? 3 : 0)
  const whole = `${text.slice(0, 10)}T${text.slice(11, 19)}`
  if (end <= 19) return `${whole}.000Z`
  return `${whole}${text.slice(19, Math.min(end, 23)).padEnd(4, '0')}Z`
}

const millisecondLength = '2026-11-20 12:00:00.123+00'.length
const hyphen = 45
const plus = 43
