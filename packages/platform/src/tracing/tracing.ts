import type { Logger } from 'pino'

/**
 * What the platform knows of tracing. Nothing here, nor in what uses it, imports OpenTelemetry: a
 * server that does not trace must not load it.
 */
export interface Tracing {
  /** Begins the span of a request, continuing the caller's trace where it sent a valid one. */
  startRequest(request: IncomingRequest): RequestSpan
  /**
   * Records what `run` starts as one PostgreSQL query. `text` is asked when it has ended, because
   * the driver knows the final text only then; it holds `$1` where the values go.
   */
  runQuery<T>(text: () => string, run: () => Promise<T>): Promise<T>
  /** A `fetch` that records its requests and sends the trace on (W3C Trace Context). */
  wrapFetch(fetch: typeof globalThis.fetch): typeof globalThis.fetch
  /** Delivers what is waiting, for at most two seconds. Never rejects; later spans are dropped. */
  close(): Promise<void>
}

/** A request as it arrived, before anything is known of it. */
export interface IncomingRequest {
  readonly method: string
  readonly scheme: 'http' | 'https'
  /** The request target; its query is never recorded. */
  readonly target: string
  /** The headers of W3C Trace Context. Ignored when malformed. */
  readonly traceparent?: string | undefined
  readonly tracestate?: string | undefined
}

/** The span of one request. */
export interface RequestSpan {
  /** 32 hexadecimal digits, for log lines. */
  readonly traceId: string
  /** Calls `work`; queries and outbound requests that it starts belong to this request. */
  run<T>(work: () => T): T
  /** Ends the span; only the first call counts. */
  end(outcome: RequestOutcome): void
}

export interface RequestOutcome {
  /** The route's pattern, or undefined where none matched. */
  readonly route: string | undefined
  /** Undefined when the client left before there was a reply. */
  readonly status: number | undefined
  /** Our own id of the person or key. */
  readonly userId?: string | undefined
}

export interface TracingOptions {
  /** `OTEL_EXPORTER_OTLP_ENDPOINT`: the collector's base address; `/v1/traces` is appended. */
  readonly endpoint: string
  readonly serviceName: string
  readonly version: string
  readonly log: Logger
  /** Longest time a span waits for company, in milliseconds. */
  readonly batchDelayMs?: number
  /** Longest time for delivering one batch, repetitions included, in milliseconds. */
  readonly exportTimeoutMs?: number
}

/**
 * Loads OpenTelemetry and starts tracing. Throws a configuration Error for an endpoint that is no
 * http or https address. An unreachable collector is no error; it is logged when it first shows.
 */
export async function createTracing(options: TracingOptions): Promise<Tracing> {
  const { createOpenTelemetry } = await import('./open-telemetry.ts')
  return createOpenTelemetry(options)
}
