import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * Gives back the memory that only starting needed: compiling modules and schemas leaves a heap of
 * 70 MB of which 25 are used. One collection before the server listens brings the idle process from
 * 150 to 105 MB; it takes about 0.1 s, and nobody is waiting yet.
 */
export function releaseStartupMemory(): void {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  setFlagsFromString('--no-expose-gc')
  if (typeof collect === 'function')
    collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}
