import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatTraceParent, parseTraceParent } from './trace-parent.ts'

const traceId = '0af7651916cd43dd8448eb211c80319c'
const spanId = 'b7ad6b7169203331'

test('a valid traceparent is read, also one of a later version', () => {
  const table = [
    [`00-${traceId}-${spanId}-01`, 1],
    [`00-${traceId}-${spanId}-00`, 0],
    [`00-${traceId}-${spanId}-03`, 3],
    [`cc-${traceId}-${spanId}-01`, 1],
    [`cc-${traceId}-${spanId}-01-what-the-future-will-be-like`, 1],
  ] as const
  for (const [header, flags] of table)
    assert.deepEqual(parseTraceParent(header), { traceId, spanId, flags }, header)
})

test('a malformed traceparent is ignored', () => {
  const table = [
    undefined,
    '',
    'garbage',
    `ff-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01-more`,
    `00-${traceId}-${spanId}-01 `,
    ` 00-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01\n`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${'0'.repeat(32)}-${spanId}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    `00-${traceId.slice(1)}-${spanId}-01`,
    `00-${traceId}-${spanId}`,
    `00-${traceId}-${spanId}-1`,
    `00-${traceId}-${spanId}-0g`,
    `0-${traceId}-${spanId}-01`,
    // What Node makes of a header that was sent twice.
    `00-${traceId}-${spanId}-01, 00-${traceId}-${spanId}-01`,
    `cc-${traceId}-${spanId}-01.`,
    `cc-${traceId}-${spanId}-01-${'x'.repeat(5000)}`,
  ]
  for (const header of table) assert.equal(parseTraceParent(header), undefined, String(header))
})

test('only the sampled flag is sent on', () => {
  assert.equal(formatTraceParent({ traceId, spanId, flags: 1 }), `00-${traceId}-${spanId}-01`)
  assert.equal(formatTraceParent({ traceId, spanId, flags: 3 }), `00-${traceId}-${spanId}-01`)
  assert.equal(formatTraceParent({ traceId, spanId, flags: 254 }), `00-${traceId}-${spanId}-00`)
})
