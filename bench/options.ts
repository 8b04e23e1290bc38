import { parseArgs } from 'node:util'

export interface Options {
  /** Length of one contestant's turn. */
  readonly seconds: number
  readonly rounds: number
  readonly connections: number
  /** Contestants by letter; undefined stands for all of them, and only then results.md is written. */
  readonly only: readonly string[] | undefined
}

/** Reads the flags of `npm run bench -- …`; throws on unknown flags and on impossible numbers. */
export function parseOptions(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      seconds: { type: 'string', default: '2' },
      rounds: { type: 'string', default: '10' },
      connections: { type: 'string', default: '32' },
      only: { type: 'string' },
    },
  })
  return {
    seconds: positive('--seconds', values.seconds),
    rounds: positive('--rounds', values.rounds),
    connections: positive('--connections', values.connections),
    only: values.only === undefined ? undefined : letters(values.only),
  }
}

function positive(flag: string, text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new Error(`${flag} must be a whole number.`)
  return value
}

function letters(text: string): string[] {
  const chosen = text.split(',').map((letter) => letter.trim())
  const unknown = chosen.filter((letter) => !['a', 'b', 'c', 'd'].includes(letter))
  if (unknown.length > 0) throw new Error(`--only takes a, b, c and d, not ${unknown.join(', ')}.`)
  return chosen
}
