import type { Metric, Registry } from 'prom-client'

/** Records one answered request. */
export type ObserveRequest = (status: number, seconds: number) => void

/**
 * The request histogram. It counts by itself and gives prom-client its numbers when they are read:
 * the library's own `observe` looks its labels up by text on every call, which was the dearest part
 * of a request's bookkeeping.
 */
export function createRequestDurations(registry: Registry) {
  const series: Series[] = []
  registry.registerMetric({
    name,
    // The library calls only `get` on what is registered; its type demands a whole histogram.
    get: async () => ({ name, help, type: 'histogram', values: series.flatMap(valuesOf) }),
    reset: () => {
      series.length = 0
    },
  } as unknown as Metric)

  return {
    /** Makes the recorder of one route. */
    observer(method: string, route: string): ObserveRequest {
      const byStatus: (Series | undefined)[] = []
      return (status, seconds) => {
        let one = byStatus[status]
        if (!one) {
          one = {
            labels: { method, route, status: String(status) },
            counts: new Uint32Array(bounds.length + 1),
            sum: 0,
          }
          byStatus[status] = one
          series.push(one)
        }
        let bucket = 0
        while (bucket < bounds.length && seconds > (bounds[bucket] ?? 0)) bucket++
        one.counts[bucket] = (one.counts[bucket] ?? 0) + 1
        one.sum += seconds
      }
    },
  }
}

const name = 'http_request_duration_seconds'
const help = 'Time from the request line to the last byte handed to the socket.'
const bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]

interface Series {
  readonly labels: Record<string, string>
  /** Requests per bucket, not cumulated; the last one is beyond all bounds. */
  readonly counts: Uint32Array
  sum: number
}

function valuesOf({ labels, counts, sum }: Series) {
  let total = 0
  const buckets = Array.from(counts, (count, index) => {
    total += count
    const le = String(bounds[index] ?? '+Inf')
    return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: total }
  })
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: total },
  ]
}
