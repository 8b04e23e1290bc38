/** Where a request comes from, as `traceparent` says it. */
export interface TraceParent {
  /** 32 hexadecimal digits, not all zero. */
  readonly traceId: string
  /** 16 hexadecimal digits, not all zero. */
  readonly spanId: string
  /** Bit 0: the caller records its part of the trace. */
  readonly flags: number
}

/**
 * Reads a `traceparent` header (W3C Trace Context, level 1). Undefined for anything malformed, as
 * the recommendation demands; of a version above 00 the parts that 00 knows are read.
 */
export function parseTraceParent(header: string | undefined): TraceParent | undefined {
  const parts = header === undefined ? null : pattern.exec(header)
  if (!parts) return undefined
  const [, version, traceId, spanId, flags, rest] = parts
  if (version === undefined || traceId === undefined || spanId === undefined) return undefined
  if (version === 'ff' || (version === '00' && rest !== undefined)) return undefined
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined
  return { traceId, spanId, flags: Number.parseInt(flags ?? '00', 16) }
}

const pattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.{0,256})?$/

/** The header that sends a trace on. Only the flag that is ours to say is sent. */
export function formatTraceParent({ traceId, spanId, flags }: TraceParent): string {
  return `00-${traceId}-${spanId}-${(flags & 1) === 1 ? '01' : '00'}`
}
