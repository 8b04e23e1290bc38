import { parseArgs } from 'node:util'

/** What `npm run keys` is asked to do. */
export type KeysOrder =
  | {
      readonly verb: 'create'
      readonly name: string
      readonly scopes: readonly string[]
      readonly lifeMs: number | undefined
    }
  | { readonly verb: 'list' }
  | { readonly verb: 'revoke'; readonly idOrName: string }

/**
 * Reads the arguments. Whatever is not understood makes the whole order undefined: a misspelt
 * `--expires` must not make a key that never ends.
 */
export function readKeysOrder(args: string[]): KeysOrder | undefined {
  const given = parse(args)
  if (!given) return undefined
  const { positionals, values } = given
  const [verb, idOrName] = positionals
  const hasFlags = Object.keys(values).length > 0
  if (verb === 'create' && positionals.length === 1) return readCreation(values)
  if (verb === 'list' && positionals.length === 1 && !hasFlags) return { verb }
  if (verb === 'revoke' && idOrName && positionals.length === 2 && !hasFlags)
    return { verb, idOrName }
  return undefined
}

function readCreation(given: {
  name?: string | undefined
  scopes?: string | undefined
  expires?: string | undefined
}): KeysOrder | undefined {
  const { name, scopes, expires } = given
  const lifeMs = expires === undefined ? undefined : readDuration(expires)
  if (!name || !scopes || (expires !== undefined && lifeMs === undefined)) return undefined
  return { verb: 'create', name, scopes: scopes.split(',').map((scope) => scope.trim()), lifeMs }
}

function parse(args: string[]) {
  const text = { type: 'string' } as const
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: { name: text, scopes: text, expires: text },
    })
  } catch {
    return undefined
  }
}

/** `90d`, `12h` or `30m` in milliseconds. */
function readDuration(text: string): number | undefined {
  const [, count, unit] = /^([1-9]\d{0,4})([dhm])$/.exec(text) ?? []
  const unitMs = { d: 86_400_000, h: 3_600_000, m: 60_000 }[unit ?? '']
  return unitMs === undefined ? undefined : Number(count) * unitMs
}
