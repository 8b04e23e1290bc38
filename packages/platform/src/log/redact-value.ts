import type { RedactedError } from './redact-error.ts'
import { copyError, isErrorLike } from './redact-error.ts'
import { maskEmail, maskPhone } from './redact-contacts.ts'
import type { KeyKind } from './redact-keys.ts'
import { isPublicCode } from './redact-keys.ts'
import { decodeEscapes } from './redact-text.ts'
import { summarise } from './redact-summary.ts'

interface ValueRedactorDeps {
  readonly hidesContacts: boolean
  readonly name: (key: string) => RedactedName
  readonly text: (text: string, onSecret?: (value: string) => void) => string
  readonly id: (text: string) => string
  readonly controls: (text: string) => string
}

/** What a field name says about its value, and the name as it may be shown. */
export interface RedactedName {
  readonly kind: KeyKind
  readonly shown: string
}

interface Walk {
  readonly deps: ValueRedactorDeps
  readonly ancestors: Set<object>
  readonly secrets: Set<string>
  entriesLeft: number
  charactersLeft: number
}

const depthMax = 8
const breadthMax = 100
// Depth and breadth alone would still allow 100^8 entries through shared references.
const entriesMax = 5000
const charactersMax = 256 * 1024
const secretsMax = 200
const hidden = '[redacted]'

/** Copies values for the log, one by one or those of one log call together. */
export interface ValueRedactor {
  readonly redactOne: (value: unknown) => unknown
  /** Texts at the top only lose the secrets that were found in the other values. */
  readonly redactTogether: (values: readonly unknown[]) => unknown[]
}

/** Makes the walker behind `redactValue`. */
export function createValueRedactor(deps: ValueRedactorDeps): ValueRedactor {
  const startWalk = (): Walk => ({
    deps,
    ancestors: new Set(),
    secrets: new Set(),
    entriesLeft: entriesMax,
    charactersLeft: charactersMax,
  })
  return {
    redactOne: (value) => {
      if (typeof value === 'string') return deps.text(value)
      const walk = startWalk()
      return finish(walk, copy(walk, value, 0))
    },
    redactTogether: (values) => {
      const walk = startWalk()
      const copies = values.map((value) =>
        typeof value === 'string' ? value : copy(walk, value, 0),
      )
      return copies.map((value) => finish(walk, value))
    },
  }
}

function finish(walk: Walk, value: unknown): unknown {
  return walk.secrets.size === 0 ? value : erase(walk, value)
}

function copy(walk: Walk, value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      return copyText(walk, value)
    case 'bigint':
    case 'symbol':
      return copyText(walk, String(value))
    case 'number':
      return Number.isFinite(value) ? value : String(value)
    case 'function':
      return '[function]'
    case 'object':
      return value === null ? null : guarded(walk, value, depth)
    case 'boolean':
    case 'undefined':
      return value
  }
}

// A getter, a proxy or a toJSON may throw anything; the log line must still come out.
function guarded(walk: Walk, value: object, depth: number): unknown {
  if (depth >= depthMax) return '[too deep]'
  if (walk.ancestors.has(value)) return '[circular]'
  if (walk.entriesLeft <= 0) return '[too large]'
  walk.ancestors.add(value)
  try {
    return copyObject(walk, value, depth)
  } catch {
    return '[unreadable]'
  } finally {
    walk.ancestors.delete(value)
  }
}

function copyObject(walk: Walk, value: object, depth: number): unknown {
  if (isErrorLike(value)) return copyErrorLike(walk, value, depth)
  if (Array.isArray(value)) return copyList(walk, value, depth)
  if (value instanceof Map || isPairs(value)) return copyFields(walk, value, depth, false)
  if (value instanceof Set) return copyList(walk, value, depth)
  const summary = summarise(value)
  if (typeof summary === 'string') return copyText(walk, summary)
  if (summary !== undefined) return copyFields(walk, Object.entries(summary), depth, false)
  const { toJSON } = value as { toJSON?: unknown }
  if (typeof toJSON === 'function') {
    const json: unknown = toJSON.call(value)
    if (json !== value) return copy(walk, json, depth + 1)
  }
  return copyFields(walk, ownEntries(value), depth, false)
}

function copyErrorLike(walk: Walk, error: RedactedError, depth: number): unknown {
  return copyError(error, {
    text: (text) => copyText(walk, text),
    value: (value) => copy(walk, value, depth + 1),
    fields: () => copyFields(walk, ownEntries(error), depth, true),
  })
}

function isPairs(value: object): value is Iterable<[unknown, unknown]> {
  return value instanceof Headers || value instanceof URLSearchParams || value instanceof FormData
}

function copyList(walk: Walk, list: Iterable<unknown>, depth: number): unknown[] {
  const copies: unknown[] = []
  let name: unknown
  for (const entry of list) {
    if (copies.length >= breadthMax || walk.entriesLeft-- <= 0) {
      copies.push('[more]')
      break
    }
    // Node's rawHeaders and [name, value] pairs: the name says what the next text is.
    const copied =
      typeof name === 'string' && typeof entry === 'string'
        ? copyField(walk, name, entry, depth, false)
        : copy(walk, entry, depth + 1)
    copies.push(copied)
    name = entry
  }
  return copies
}

function copyFields(
  walk: Walk,
  entries: Iterable<readonly [unknown, unknown]>,
  depth: number,
  insideError: boolean,
): Record<string, unknown> {
  const result: Record<string, unknown> = {}
  let count = 0
  for (const [key, value] of entries) {
    if (count++ >= breadthMax || walk.entriesLeft-- <= 0) {
      result['…'] = '[more]'
      break
    }
    const name = nameOf(key)
    const field = copyField(walk, name, value, depth, insideError)
    setField(result, walk.deps.name(name).shown, field)
  }
  return result
}

// Assigning to a key named __proto__ would change the copy instead of appearing in it.
function setField(fields: object, key: string, value: unknown): void {
  if (key !== '__proto__') Reflect.set(fields, key, value)
  else
    Object.defineProperty(fields, key, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    })
}

function* ownEntries(value: object): Generator<[string, unknown]> {
  for (const key of Object.keys(value)) {
    let field: unknown
    try {
      field = Reflect.get(value, key)
    } catch {
      field = '[unreadable]'
    }
    yield [key, field]
  }
}

function nameOf(key: unknown): string {
  return typeof key === 'string' || typeof key === 'number' ? String(key) : `[${typeof key}]`
}

function copyField(
  walk: Walk,
  key: string,
  value: unknown,
  depth: number,
  insideError: boolean,
): unknown {
  if (value === undefined || value === null || value === '' || typeof value === 'boolean') {
    return value
  }
  const judged = fieldRules[walk.deps.name(key).kind]?.(walk, value, insideError)
  return judged === undefined ? copy(walk, value, depth + 1) : judged
}

type FieldRule = (walk: Walk, value: unknown, insideError: boolean) => unknown

// What a name demands of its value. Undefined leaves it to the patterns.
const fieldRules: Partial<Record<KeyKind, FieldRule>> = {
  secret: hide,
  password: hide,
  code: (walk, value, insideError) =>
    typeof value === 'object' || isPublicCode(value, insideError) ? undefined : hide(walk, value),
  session: (walk, value) =>
    typeof value === 'string' && uuid.test(value) ? value : hide(walk, value),
  email: (walk, value) =>
    walk.deps.hidesContacts && typeof value === 'string' ? hideEmail(walk, value) : undefined,
  phone: (walk, value) =>
    walk.deps.hidesContacts && isScalar(value) ? maskPhone(String(value)) : undefined,
  id: (walk, value) =>
    typeof value === 'string' && correlationId.test(value) ? walk.deps.id(value) : undefined,
}

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const correlationId = /^[\w.:-]{1,128}$/

function isScalar(value: unknown): value is string | number | bigint {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint'
}

function hideEmail(walk: Walk, value: string): string {
  return /^[^\s@]{1,320}@[^\s@]{1,255}$/.test(value) ? walk.deps.controls(maskEmail(value)) : hidden
}

function hide(walk: Walk, value: unknown): string {
  if (isScalar(value)) remember(walk, String(value))
  return hidden
}

// A value worth looking for elsewhere in the same line; plain words would only spoil the text.
function remember(walk: Walk, value: string): void {
  if (value.length < 4 || value.length > 1024 || walk.secrets.size >= secretsMax) return
  if (/^[a-z]{1,11}$/.test(value) || value === hidden) return
  for (const form of [value, decodeEscapes(value)]) {
    walk.secrets.add(form)
    walk.secrets.add(encodeURIComponent(form.toWellFormed()))
    walk.secrets.add(JSON.stringify(form).slice(1, -1))
  }
}

function copyText(walk: Walk, text: string): string {
  if (walk.charactersLeft <= 0) return '[too large]'
  const clean = walk.deps.text(text, (secret) => remember(walk, secret))
  walk.charactersLeft -= clean.length
  return clean
}

// The copy is ours and bounded, so this second walk needs no guards.
function erase(walk: Walk, value: unknown): unknown {
  if (typeof value === 'string') {
    let clean = value
    for (const secret of walk.secrets) clean = clean.replaceAll(secret, hidden)
    return clean
  }
  if (Array.isArray(value)) return value.map((entry: unknown) => erase(walk, entry))
  if (typeof value !== 'object' || value === null) return value
  for (const [key, field] of Object.entries(value)) {
    setField(value, key, erase(walk, field))
  }
  return value
}
