/** A text as a JSON string that is also safe for whatever splits the output into lines. */
export function quoteJson(text: string): string {
  return plain.test(text) ? `"${text}"` : escapeJsonLine(JSON.stringify(text))
}

/**
 * JSON may carry U+0085, U+2028, U+2029, DEL, C1 and bidirectional characters as they are, but
 * terminals obey them and many readers end a line there. They can stand only inside strings, so
 * escaping them in the finished line changes nothing for a JSON parser.
 */
export function escapeJsonLine(line: string): string {
  return unsafe.test(line) ? line.replace(eachUnsafe, escape) : line
}

// Printable ASCII without the quote and the backslash.
const plain = /^[ !#-[\]-~]*$/
// The line's own end, and what JSON escapes by itself, are below U+0020 and not meant here.
const unsafe = /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/
const eachUnsafe = new RegExp(unsafe, 'g')

function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
