import { AsyncLocalStorage } from 'node:async_hooks'
import { type Context, ROOT_CONTEXT } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import { createDelivery } from './delivery.ts'
import { createFetchWrapper } from './outbound-spans.ts'
import { createQueryRunner } from './query-spans.ts'
import { createRequestStarter } from './request-spans.ts'
import { tracesUrl } from './traces-url.ts'
import type { Tracing, TracingOptions } from './tracing.ts'

/**
 * Tracing by OpenTelemetry over OTLP/HTTP with JSON. Only `createTracing` loads this file, and only
 * this file loads those that import OpenTelemetry. Nothing is registered globally, so several can
 * live side by side; names follow the semantic conventions for HTTP and databases. The exporter
 * itself honours `OTEL_EXPORTER_OTLP_HEADERS`, `_COMPRESSION` and `_CERTIFICATE`.
 */
export function createOpenTelemetry(options: TracingOptions): Tracing {
  const { provider, abandon } = createPipeline(options)
  const tracer = provider.getTracer('quayside', options.version)
  const current = new AsyncLocalStorage<Context>()
  const active = (): Context => current.getStore() ?? ROOT_CONTEXT
  let closing: Promise<void> | undefined

  return {
    startRequest: createRequestStarter(tracer, current),
    runQuery: createQueryRunner(tracer, active),
    wrapFetch: createFetchWrapper(tracer, active),
    close() {
      closing ??= withDeadline(shutDown(provider), abandon)
      return closing
    },
  }
}

/** From ended spans to the collector: 2,048 spans may wait, more are dropped. */
function createPipeline(options: TracingOptions) {
  const { serviceName, version, log, batchDelayMs = 5000, exportTimeoutMs = 5000 } = options
  const url = tracesUrl(options.endpoint)
  const delivery = createDelivery({
    exporter: new OTLPTraceExporter({ url: url.href, timeoutMillis: exportTimeoutMs }),
    collector: url.origin,
    log,
  })
  const processor = new BatchSpanProcessor({
    exporter: delivery,
    maxQueueSize: 2048,
    maxExportBatchSize: 512,
    scheduledDelayMillis: batchDelayMs,
    // Later than the exporter's own limit, so that its reason is the one that is logged.
    exportTimeoutMillis: exportTimeoutMs * 3,
  })
  const provider = new TracerProvider({
    resource: defaultResource().merge(
      resourceFromAttributes({ 'service.name': serviceName, 'service.version': version }),
    ),
    spanProcessors: [processor],
  })
  return { provider, abandon: delivery.abandon }
}

async function shutDown(provider: TracerProvider): Promise<void> {
  // Whoever awaits a query goes on a moment before its span ends; the last ones count too.
  await new Promise((resolve) => setImmediate(resolve))
  await provider.shutdown()
}

/** Waits for the last deliveries, at most two seconds. It never rejects. */
async function withDeadline(work: Promise<void>, abandon: () => void): Promise<void> {
  const { promise: tooLate, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(() => {
    abandon()
    resolve()
  }, closeMsMax)
  // Failures were logged as what they are: deliveries that failed.
  await Promise.race([work.catch(() => {}), tooLate])
  clearTimeout(timer)
}

const closeMsMax = 2000
