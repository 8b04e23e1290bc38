/** A query as a span shows it. */
export interface QueryDescription {
  /** The text with `$1` for parameters and `?` for literals. */
  readonly text: string
  /** Operation and first table, for example `SELECT orders`: few enough to group by. */
  readonly summary: string
}

/**
 * Makes the function that describes queries. It remembers the texts it has seen, because a server
 * runs the same few hundred over and over.
 */
export function createQueryDescriber(): (text: string) => QueryDescription {
  const known = new Map<string, QueryDescription>()
  return (text) => {
    const seen = known.get(text)
    if (seen) return seen
    const clean = withoutLiterals(text.slice(0, lengthMax))
    const description = { text: clean, summary: summaryOf(clean) }
    if (known.size >= knownMax) known.clear()
    if (text.length <= lengthMax) known.set(text, description)
    return description
  }
}

const lengthMax = 4096
const knownMax = 1000

/**
 * Values belong into parameters, which are never recorded; a literal in the text is either a
 * constant, which nobody misses, or a mistake, which must not be published.
 */
function withoutLiterals(text: string): string {
  return text
    .replace(token, (match) => {
      if (match.startsWith('"')) return match
      return match.startsWith('--') || match.startsWith('/*') ? ' ' : '?'
    })
    .replaceAll(/\s+/g, ' ')
    .trim()
}

// In this order: comments, quoted names, escape strings, strings, dollar-quoted strings, numbers.
// What is not closed goes on to the end, so a text that was cut gives nothing away.
const token =
  /--[^\n]*|\/\*[^]*?(?:\*\/|$)|"(?:[^"]|"")*(?:"|$)|\bE'(?:[^'\\]|\\[^]|'')*(?:'|\\?$)|'(?:[^']|'')*(?:'|$)|\$([a-z_]\w*)?\$[^]*?(?:\$\1\$|$)|(?<![\w$.])\d[\w.]*/gi

function summaryOf(text: string): string {
  const operation = /^[a-z]{1,20}\b/i.exec(text)?.[0].toUpperCase()
  if (operation === undefined) return 'postgresql'
  const table = firstTable.exec(text)?.[1]
  return table === undefined ? operation : `${operation} ${table.replaceAll('"', '')}`
}

const firstTable = /\b(?:from|into|update|table)\s+(?:only\s+)?("?[a-z_][\w.]{0,62}"?)/i
