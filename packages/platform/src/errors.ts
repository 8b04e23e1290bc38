/**
 * An error the caller is meant to see. `message`, `headers` and `extra` go out with the reply;
 * `cause` reaches only the log. Anything else that is thrown is a bug and answers 500
 * without detail.
 */
export class AppError<Code extends string = string> extends Error {
  override readonly name = 'AppError'
  readonly code: Code
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly extra: Readonly<Record<string, unknown>>

  constructor(code: Code, status: number, message: string, options: AppErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = code
    this.status = status
    this.headers = options.headers ?? {}
    this.extra = options.extra ?? {}
  }
}

export interface AppErrorOptions {
  /** What really happened. Logged, never sent. */
  readonly cause?: unknown
  /** Reply headers that belong to this error, for example `Retry-After`. */
  readonly headers?: Readonly<Record<string, string>>
  /** Public members added to the problem document, for example `issues`. */
  readonly extra?: Readonly<Record<string, unknown>>
}

/** Code → HTTP status and a sentence that is safe to show. One catalogue per feature. */
export type ErrorCatalogue = Readonly<Record<string, readonly [status: number, message: string]>>

type Makers<C extends ErrorCatalogue> = {
  readonly [K in keyof C & string]: (options?: AppErrorOptions) => AppError<K>
}

/** Turns a catalogue into functions: `throw errors.order_not_found()`. */
export function defineErrors<const C extends ErrorCatalogue>(catalogue: C): Makers<C>
export function defineErrors(catalogue: ErrorCatalogue): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(catalogue).map(([code, [status, message]]) => [
      code,
      (options?: AppErrorOptions) => new AppError(code, status, message, options),
    ]),
  )
}

/** Errors that any route can answer with. */
export const commonErrorCatalogue = {
  invalid_request: [400, 'The request is not valid.'],
  malformed_json: [400, 'The body is not valid JSON.'],
  invalid_host: [400, 'The Host header is missing or not valid.'],
  unauthenticated: [401, 'Sign in to continue.'],
  token_invalid: [401, 'The token is not valid.'],
  token_expired: [401, 'The token has expired.'],
  api_key_invalid: [401, 'The API key is not valid.'],
  gateway_untrusted: [401, 'The request did not come through the trusted gateway.'],
  forbidden: [403, 'You may not do this.'],
  role_missing: [403, 'You lack the role this needs.'],
  scope_missing: [403, 'This API key lacks the scope this needs.'],
  subject_mismatch: [403, 'This path belongs to someone else.'],
  not_found: [404, 'There is nothing here.'],
  method_not_allowed: [405, 'This method is not allowed here.'],
  request_timeout: [408, 'The request took too long to arrive.'],
  idempotency_in_progress: [409, 'A request with this Idempotency-Key is still running.'],
  precondition_failed: [412, 'It has changed since you read it.'],
  body_too_large: [413, 'The body is too large.'],
  uri_too_long: [414, 'The address is too long.'],
  unsupported_media_type: [415, 'This content type is not supported here.'],
  idempotency_key_reused: [422, 'This Idempotency-Key was used with another request.'],
  rate_limited: [429, 'Too many requests. Try again later.'],
  headers_too_large: [431, 'The request headers are too large.'],
  internal: [500, 'Something went wrong on our side.'],
  unavailable: [503, 'This is not available right now. Try again soon.'],
  keys_unavailable: [503, 'Tokens cannot be checked right now. Try again soon.'],
} as const satisfies ErrorCatalogue

/** Makers of the errors that any route can answer with. */
export const commonErrors = defineErrors(commonErrorCatalogue)
