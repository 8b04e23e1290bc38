import { Type } from 'typebox'
import type { App } from '../feature.ts'
import type { Health } from '../health.ts'
import type { Metrics } from '../metrics.ts'
import { publicAccess, serviceAccess } from './access.ts'

const Live = Type.Object({ status: Type.Literal('ok') })
const Ready = Type.Object({
  status: Type.Union([Type.Literal('ok'), Type.Literal('unavailable')]),
  parts: Type.Record(Type.String(), Type.Union([Type.Literal('ok'), Type.Literal('unavailable')])),
})

/** The platform's own routes: health for load balancers, metrics for Prometheus. */
export function addPlatformRoutes(app: App, deps: { health: Health; metrics: Metrics }): void {
  app.get(
    '/health/live',
    {
      config: { access: publicAccess() },
      schema: { tags: ['health'], summary: 'The process runs', response: { 200: Live } },
    },
    () => ({ status: 'ok' as const }),
  )
  app.get(
    '/health/ready',
    {
      config: { access: publicAccess() },
      schema: {
        tags: ['health'],
        summary: 'Every part that the server needs answers',
        response: { 200: Ready, 503: Ready },
      },
    },
    async (_request, reply) => {
      const report = await deps.health.ready()
      return report.status === 'ok'
        ? reply.send(report)
        : reply.status(503).header('retry-after', '1').send(report)
    },
  )
  app.get(
    '/metrics',
    {
      config: { access: serviceAccess('metrics:read') },
      schema: {
        tags: ['health'],
        summary: 'Metrics in Prometheus text format',
        response: { 200: Type.String() },
      },
    },
    async (_request, reply) => reply.type(deps.metrics.contentType).send(await deps.metrics.text()),
  )
}
