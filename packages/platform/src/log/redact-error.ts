import { removeRowValues, removeSqlLiterals } from './redact-formats.ts'

/** An `Error`, or an object that was one before it crossed a realm or a serializer. */
export interface RedactedError {
  readonly message: string
  readonly name?: unknown
  readonly stack?: unknown
  readonly cause?: unknown
  readonly errors?: unknown
}

interface Copies {
  readonly text: (text: string) => string
  readonly value: (value: unknown) => unknown
  /** The error's own enumerable fields, copied. */
  readonly fields: () => Record<string, unknown>
}

/** Whether a value is logged as an error: with its type, message, stack and causes. */
export function isErrorLike(value: object): value is RedactedError {
  if (value instanceof Error) return true
  const { message, stack } = value as Partial<RedactedError>
  return typeof message === 'string' && typeof stack === 'string'
}

/** The loggable form of an error: `{ type, message, …own fields, stack, cause, errors }`. */
export function copyError(error: RedactedError, copies: Copies): Record<string, unknown> {
  const { name, message, stack, cause, errors } = error
  const copied: Record<string, unknown> = {
    type: copies.text(typeOf(error, name)),
    message: copies.text(typeof message === 'string' ? message : ''),
  }
  for (const [key, value] of Object.entries(copies.fields())) {
    if (!(key in copied) && !ownForms.has(key)) copied[key] = databaseField(key, value)
  }
  if (typeof stack === 'string') copied['stack'] = copyStack(stack, copied, copies)
  if (cause !== undefined) copied['cause'] = copies.value(cause)
  if (Array.isArray(errors)) copied['errors'] = copies.value(errors)
  return copied
}

// Many error classes do not set a name of their own; then the constructor tells more.
function typeOf(error: RedactedError, name: unknown): string {
  if (typeof name === 'string' && name !== '' && name !== 'Error') return name
  const maker: unknown = error.constructor
  return typeof maker === 'function' && maker !== Object && maker.name !== '' ? maker.name : 'Error'
}

const ownForms = new Set(['name', 'stack', 'cause', 'errors'])

// postgres.js attaches the statement and its parameters, and PostgreSQL quotes the row. The
// parameters have no names to judge them by, so none is shown.
function databaseField(key: string, value: unknown): unknown {
  if (Array.isArray(value)) {
    const isParameters = key === 'parameters' || key === 'args' || key === 'types'
    return isParameters ? `[${value.length} values redacted]` : value
  }
  if (typeof value !== 'string') return value
  if (key === 'query' || key === 'internal_query') return removeSqlLiterals(value)
  return key === 'detail' || key === 'where' ? removeRowValues(value) : value
}

// The head of a stack repeats the message, line breaks included. Only lines that are frames stay
// lines of their own, so that a message cannot forge the beginning of another record.
function copyStack(stack: string, copied: Record<string, unknown>, copies: Copies): string {
  const frames = stack.split('\n').filter((line) => frame.test(line))
  const head = `${String(copied['type'])}: ${String(copied['message'])}`.replace(/[\r\n]+/g, ' ')
  return [head, ...frames.slice(0, 50).map((line) => copies.text(line))].join('\n')
}

const frame = /^\s{1,8}at [^\r\n]{1,1024}$/
