import type { LogDestination } from './log-destination.ts'
import type { Redactor } from './redact.ts'

/** What `createLogger` leaves on its logger for `requestLine`, `flushLogger` and `closeLogger`. */
export interface LogState {
  readonly redactor: Redactor
  readonly destination: LogDestination
}

/** The property that holds it; children inherit it from their parent. */
export const logState: unique symbol = Symbol('quayside.log')

/** The state of a logger, or undefined when something else made it. */
export function stateOf(logger: object): LogState | undefined {
  return (logger as { readonly [logState]?: LogState })[logState]
}
