import type { KeyKind } from './redact-keys.ts'
import { classifyKey, classifyQueryName } from './redact-keys.ts'
import { scrubText } from './redact-text.ts'
import type { RedactedName } from './redact-value.ts'
import { createValueRedactor } from './redact-value.ts'

/** What is shown and how. The default hides everything and keeps control characters. */
export interface RedactOptions {
  /** False shows e-mail addresses and phone numbers. Credentials stay hidden always. */
  readonly redactSensitive?: boolean
  /** True replaces control characters by visible pictures, for output that is not JSON. */
  readonly picturesControls?: boolean
}

/** Redacts texts and values in one way and remembers how it classified each field name. */
export interface Redactor {
  readonly text: (text: string) => string
  /** For correlation ids: as `text`, except that random-looking is no reason to hide them. */
  readonly id: (text: string) => string
  /** What the name of a query parameter says about its value. */
  readonly queryName: (name: string) => RedactedName
  /** One bounded copy of a value, made of plain objects, arrays and primitives. */
  readonly value: (value: unknown) => unknown
  /**
   * The arguments of one log call: a secret found in one is removed from all of them. Texts among
   * them are otherwise left for `text`, which must see the message they are put into.
   */
  readonly callArguments: (values: readonly unknown[]) => unknown[]
}

/** Removes secrets from a text and masks contacts; at most 8 KiB of it are kept. */
export function redactText(text: string, options: RedactOptions = {}): string {
  return createRedactor(options).text(text)
}

/**
 * A copy of any value that is safe to log: bounded in depth, breadth and length, without cycles,
 * secrets removed by field name and by pattern. Never throws, whatever getters and proxies do.
 */
export function redactValue(value: unknown, options: RedactOptions = {}): unknown {
  return createRedactor(options).value(value)
}

/** Makes a redactor to keep: it caches the classification of field names. */
export function createRedactor(options: RedactOptions = {}): Redactor {
  const hidesContacts = options.redactSensitive !== false
  const controls = options.picturesControls === true ? pictureControls : (text: string) => text
  const scrub = (text: string, hidesBlobs: boolean, onSecret?: (value: string) => void): string =>
    controls(
      bounded(text, (part) =>
        scrubText(part, { hidesContacts, hidesBlobs, ...(onSecret && { onSecret }) }),
      ),
    )
  const { redactOne, redactTogether } = createValueRedactor({
    hidesContacts,
    name: rememberNames(classifyKey, (key) => scrub(key, true)),
    text: (text, onSecret) => scrub(text, true, onSecret),
    id: (text) => scrub(text, false),
    controls,
  })
  return {
    text: (text) => scrub(text, true),
    id: (text) => scrub(text, false),
    queryName: rememberNames(classifyQueryName, (name) => scrub(name, true)),
    value: redactOne,
    callArguments: (values) =>
      redactTogether(
        // One margin more than is scrubbed, so that the text still counts as cut.
        values.map((value) =>
          typeof value === 'string' ? value.slice(0, lengthMax + 2 * margin) : value,
        ),
      ),
  }
}

// Makes them visible: `\n` → `␊`.
function pictureControls(text: string): string {
  return unsafe.test(text) ? text.replace(eachUnsafe, picture) : text
}

const lengthMax = 8192
// A secret cut in two is no longer recognised. So more than is kept is scrubbed, and the last
// stretch, where the cut may have gone through one, is dropped.
const margin = 1024

function bounded(text: string, scrub: (part: string) => string): string {
  if (text.length <= lengthMax) return scrub(text)
  const part = text.slice(0, lengthMax + margin)
  const clean = scrub(part)
  const dropped = part.length < text.length ? margin : 0
  const kept = clean.slice(0, Math.min(lengthMax, clean.length - dropped))
  return `${kept}… [${text.length - lengthMax} more]`
}

// Field names repeat; made-up ones must not fill the memory, so the cache is emptied when full.
function rememberNames(
  classify: (key: string) => KeyKind,
  text: (key: string) => string,
): (key: string) => RedactedName {
  const names = new Map<string, RedactedName>()
  return (key) => {
    const known = names.get(key)
    if (known !== undefined) return known
    const name = { kind: classify(key), shown: text(key) }
    if (names.size >= 1000) names.clear()
    if (key.length <= 128) names.set(key, name)
    return name
  }
}

// Control characters, line and paragraph separators, and overrides of the writing direction.
const unsafe = /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u
const eachUnsafe = new RegExp(unsafe, 'gu')

function picture(character: string): string {
  const code = character.charCodeAt(0)
  if (code < 32) return String.fromCharCode(0x2400 + code)
  return code === 127 ? '␡' : `<U+${code.toString(16).toUpperCase().padStart(4, '0')}>`
}
