import type { ChildLoggerOptions, Logger } from 'pino'
import { pino } from 'pino'
import type { Clock } from '../clock.ts'
import { systemClock } from '../clock.ts'
import type { LogDestination } from './log-destination.ts'
import { createStdoutDestination } from './log-destination.ts'
import { escapeJsonLine } from './log-quote.ts'
import { logState, stateOf } from './log-state.ts'
import type { Redactor } from './redact.ts'
import { createRedactor } from './redact.ts'

/** The log's settings: `LOG_LEVEL`, `LOG_FORMAT` and `LOG_REDACT_SENSITIVE`. */
export interface LoggerOptions {
  readonly level: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent'
  /** `json` writes one object a line, `pretty` is for people. */
  readonly format: 'json' | 'pretty'
  /** False shows e-mail addresses and phone numbers; credentials stay hidden always. */
  readonly redactSensitive: boolean
  /** Standard output when left out. */
  readonly destination?: LogDestination
  readonly clock?: Clock
}

/**
 * Makes the application's logger, which is also fit for Fastify's `loggerInstance`. Everything
 * that reaches it is redacted: merging objects, errors, messages, interpolated arguments, bindings,
 * message prefixes and the results of serializers and formatters that children bring along.
 */
export async function createLogger(options: LoggerOptions): Promise<Logger> {
  const { level, format, redactSensitive, clock = systemClock } = options
  const destination = options.destination ?? createStdoutDestination()
  const isPretty = format === 'pretty'
  const redactor = createRedactor({ redactSensitive, picturesControls: isPretty })
  const own = ownSerializers(redactor)
  const logger = pino(
    {
      level,
      timestamp: createIsoTime(clock),
      formatters: { level: (label) => ({ level: label }) },
      serializers: own,
      hooks: {
        logMethod(args, method) {
          Reflect.apply(method, this, safeArguments(args, redactor))
        },
        ...(!isPretty && { streamWrite: escapeJsonLine }),
      },
    },
    isPretty ? await prettify(destination, options.destination === undefined) : destination,
  )
  guardChildren(logger, redactor, new Set(Object.values(own)))
  return Object.assign(logger, { [logState]: { redactor, destination } })
}

/** Writes out what is buffered, now. For the last-resort handler, before the process ends. */
export function flushLogger(logger: object): void {
  stateOf(logger)?.destination.flushSync?.()
}

/** Resolves when every line is written. Lines logged afterwards still appear. */
export async function closeLogger(logger: object): Promise<void> {
  await stateOf(logger)?.destination.close?.()
}

// Errors, requests and replies were made loggable before they get here. Named all the same, since
// Fastify and pino would put their own serializers in these places.
function ownSerializers(redactor: Redactor): Record<string, (value: unknown) => unknown> {
  const text = (value: unknown): unknown =>
    typeof value === 'string' ? redactor.text(value) : value
  return { err: asIs, req: asIs, res: asIs, msg: text }
}

function asIs(value: unknown): unknown {
  return value
}

type Arguments = [value: unknown, ...rest: unknown[]]

// The message itself is scrubbed by its serializer: only there prefix and arguments are in place.
function safeArguments(args: readonly unknown[], redactor: Redactor): Arguments {
  const [first, ...rest] = args
  const isError = first instanceof Error
  const [safe, ...others] = redactor.callArguments([isError ? { err: first } : first, ...rest])
  if (typeof first !== 'object' || first === null) return [safe, ...others]
  return [asFields(safe), ...others]
}

function asFields(safe: unknown): Record<string, unknown> {
  if (typeof safe !== 'object' || safe === null || Array.isArray(safe)) return { value: safe }
  if (!reserved.some((name) => Object.hasOwn(safe, name))) return { ...safe }
  return Object.fromEntries(
    Object.entries(safe).map(([key, value]) => [reserved.includes(key) ? `${key}_` : key, value]),
  )
}

// A second `level` or `time` in the object would win over pino's own when the line is parsed.
const reserved = ['level', 'time', 'pid', 'hostname']

// Methods of the logger itself, so that every descendant inherits them: pino's own hook for
// bindings does not reach children, and what children bring along would run after the redaction.
function guardChildren(logger: Logger, redactor: Redactor, own: ReadonlySet<unknown>): void {
  const child = methodOf(logger, 'child')
  const setBindings = methodOf(logger, 'setBindings')
  const safeBindings = (bindings: object): Record<string, unknown> =>
    asFields(redactor.value(bindings))
  Object.assign(logger, {
    child(this: Logger, bindings: object | null | undefined, options?: ChildLoggerOptions) {
      const safe = bindings ? safeBindings(bindings) : bindings
      return Reflect.apply(child, this, [safe, options && safeOptions(options, redactor, own)])
    },
    setBindings(this: Logger, bindings: object) {
      Reflect.apply(setBindings, this, [safeBindings(bindings)])
    },
  })
}

// pino's methods are meant to be called on any descendant; `this` is given at the call.
function methodOf(logger: Logger, name: 'child' | 'setBindings'): (...args: never[]) => unknown {
  return logger[name]
}

function safeOptions(
  options: ChildLoggerOptions,
  redactor: Redactor,
  own: ReadonlySet<unknown>,
): object {
  const { serializers, formatters } = options
  if (serializers === undefined && formatters === undefined) return options
  const guard = (functions: object): object => {
    const guarded: Record<PropertyKey, unknown> = {}
    for (const key of Reflect.ownKeys(functions)) {
      const make: unknown = Reflect.get(functions, key)
      guarded[key] =
        typeof make !== 'function' || own.has(make)
          ? make
          : (...args: unknown[]) => redactor.value(Reflect.apply(make, undefined, args))
    }
    return guarded
  }
  return {
    ...options,
    ...(serializers && { serializers: guard(serializers) }),
    ...(formatters && { formatters: guard(formatters) }),
  }
}

// A second's prefix is made once; formatting the whole date for each line costs three times more.
function createIsoTime(clock: Clock): () => string {
  let second = Number.NaN
  let prefix = ''
  return () => {
    const now = clock.now()
    const ms = now.getTime()
    const ofSecond = ms % 1000
    if (ms - ofSecond !== second) {
      second = ms - ofSecond
      prefix = `,"time":"${now.toISOString().slice(0, -4)}`
    }
    return `${prefix}${String(ofSecond).padStart(3, '0')}Z"`
  }
}

async function prettify(
  destination: LogDestination,
  isStdout: boolean,
): Promise<Required<LogDestination>> {
  const { prettyFactory } = await import('pino-pretty')
  const format = prettyFactory({
    colorize: isStdout && process.stdout.isTTY,
    singleLine: true,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,hostname',
  })
  return {
    write: (line) => destination.write(format(line)),
    flushSync: () => destination.flushSync?.(),
    close: async () => destination.close?.(),
  }
}
