import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tracesUrl } from './traces-url.ts'

test('traces go to /v1/traces below the base address', () => {
  const table = [
    ['http://localhost:4318', 'http://localhost:4318/v1/traces'],
    ['http://localhost:4318/', 'http://localhost:4318/v1/traces'],
    ['https://otlp.example.com/otlp', 'https://otlp.example.com/otlp/v1/traces'],
    ['https://otlp.example.com/otlp//', 'https://otlp.example.com/otlp/v1/traces'],
  ] as const
  for (const [endpoint, url] of table) assert.equal(tracesUrl(endpoint).href, url)
})

test('an endpoint that is no http address is refused by the name of its setting', () => {
  for (const endpoint of ['', 'collector', 'localhost:4318', 'grpc://collector:4317', '/traces'])
    assert.throws(() => tracesUrl(endpoint), /^Error: OTEL_EXPORTER_OTLP_ENDPOINT must be/)
})
