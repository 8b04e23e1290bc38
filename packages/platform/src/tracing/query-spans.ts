import { type Context, SpanKind, type Tracer } from '@opentelemetry/api'
import { createQueryDescriber } from './query-text.ts'
import { errorType, fail } from './span-facts.ts'
import type { Tracing } from './tracing.ts'

/** Makes `runQuery`. */
export function createQueryRunner(tracer: Tracer, active: () => Context): Tracing['runQuery'] {
  const describe = createQueryDescriber()
  const attributes = { 'db.system.name': 'postgresql' }
  return async (text, run) => {
    const span = tracer.startSpan('postgresql', { kind: SpanKind.CLIENT, attributes }, active())
    try {
      return await run()
    } catch (error) {
      const type = errorType(error)
      fail(span, type)
      if (sqlState.test(type)) span.setAttribute('db.response.status_code', type)
      throw error
    } finally {
      if (span.isRecording()) {
        const query = describe(text())
        span.updateName(query.summary)
        span.setAttributes({ 'db.query.text': query.text, 'db.query.summary': query.summary })
      }
      span.end()
    }
  }
}

const sqlState = /^[0-9A-Z]{5}$/
