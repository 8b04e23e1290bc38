/**
 * The address that traces are posted to, from the collector's base address as the OpenTelemetry
 * protocol's specification composes it. Throws a configuration Error that names the setting.
 */
export function tracesUrl(endpoint: string): URL {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined
  // Not only https: the usual collector is a neighbour in the same private network.
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new Error('OTEL_EXPORTER_OTLP_ENDPOINT must be an http or https address')
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/v1/traces`
  return url
}
