import { createHash } from 'node:crypto'
import Fastify from 'fastify'
import { Type } from 'typebox'
import type { App } from '../feature.ts'
import { publicAccess } from './access.ts'

/**
 * Serves the API reference (Scalar) at `/docs` from local files. The page is several megabytes of
 * script, so it is loaded when somebody first asks for it, not when the server starts.
 */
export function addDocs(app: App): void {
  let page: Promise<DocsPage> | undefined
  const load = () => {
    page ??= renderDocs()
    return page
  }
  const schema = { hide: true, response: { 200: Type.String() } }
  const config = { access: publicAccess() }

  app.get('/docs', { config, schema }, async (_request, reply) => {
    const { html, policy } = await load()
    return reply
      .headers({ 'content-security-policy': policy })
      .type('text/html; charset=utf-8')
      .send(html)
  })
  app.get('/docs/reference.js', { config, schema }, async (_request, reply) => {
    const { script } = await load()
    return reply
      .headers({ 'cache-control': 'public, max-age=3600' })
      .type('text/javascript; charset=utf-8')
      .send(script)
  })
}

interface DocsPage {
  readonly html: string
  readonly script: string
  readonly policy: string
}

/** Lets the vendor's plugin render its page once, in an application of its own. */
async function renderDocs(): Promise<DocsPage> {
  const { default: scalar } = await import('@scalar/fastify-api-reference')
  const renderer = Fastify()
  await renderer.register(scalar, {
    routePrefix: '/docs',
    configuration: {
      url: '/openapi.json',
      pageTitle: 'Quayside API',
      // Everything below keeps the page from asking the outside for anything.
      withDefaultFonts: false,
      telemetry: false,
      proxyUrl: '',
      showDeveloperTools: 'never',
      mcp: { disabled: true },
      agent: { disabled: true },
      hideClientButton: true,
    },
  })
  const html = (await renderer.inject('/docs/')).body.replaceAll(
    /(["'])[^"']*js\/scalar\.js\1/g,
    '"/docs/reference.js"',
  )
  const script = (await renderer.inject('/docs/js/scalar.js')).body
  await renderer.close()
  return { html, script, policy: policyFor(html) }
}

/** Only this page's own inline scripts may run, and nothing may be fetched from elsewhere. */
function policyFor(html: string): string {
  const inline = [...html.matchAll(/<script(?![^>]*\bsrc=)[^>]*>([\s\S]*?)<\/script>/g)].map(
    ([, code]) =>
      `'sha256-${createHash('sha256')
        .update(code ?? '')
        .digest('base64')}'`,
  )
  return [
    "default-src 'self'",
    `script-src 'self' ${inline.join(' ')}`,
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self' data:",
    "frame-ancestors 'none'",
  ].join('; ')
}
