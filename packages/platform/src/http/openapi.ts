import swagger from '@fastify/swagger'
import { Type } from 'typebox'
import type { App } from '../feature.ts'
import { type Access, describeAccess, publicAccess } from './access.ts'
import { undeclaredReply } from './route-book.ts'

/** Body of every error (RFC 9457), as the OpenAPI document describes it. */
const Problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    code: Type.String({ description: 'Stable, in snake_case. Decide by this, not by the text.' }),
    requestId: Type.String(),
    issues: Type.Optional(Type.Array(Type.Object({ path: Type.String(), message: Type.String() }))),
  },
  { title: 'Problem' },
)

/** Collects the description of every route; call it before the routes are added. */
export async function collectOpenApi(app: App, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Quayside',
        version,
        description: 'The backend a mobile app ties up to. Errors are RFC 9457 problem documents.',
      },
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
          apiKey: { type: 'apiKey', in: 'header', name: 'X-Api-Key' },
        },
      },
    },
    hideUntagged: false,
    transform: ({ schema, url, route }) => {
      const access = route.config?.access ?? publicAccess()
      const described = schema as DescribedSchema
      return {
        url,
        schema: {
          ...described,
          ...(described.querystring && { querystring: asSent(described.querystring) }),
          security: securityOf(access),
          'x-access': describeAccess(access),
          response: { ...declaredReplies(described.response), ...problemResponses },
        },
      }
    },
  })
}

interface DescribedSchema {
  readonly querystring?: QuerySchema
  readonly response?: object
}

interface QuerySchema {
  readonly properties?: Record<string, object>
  readonly required?: readonly string[]
}

/** The query as callers send it: what has a default they may leave out. */
function asSent(query: QuerySchema): QuerySchema {
  const { properties = {}, required = [] } = query
  return { ...query, required: required.filter((name) => !('default' in (properties[name] ?? {}))) }
}

function declaredReplies(response: object = {}): object {
  return Object.fromEntries(Object.entries(response).filter(([, each]) => each !== undeclaredReply))
}

const problemResponses = {
  '4xx': { description: 'The request was refused.', content: problemContent() },
  '5xx': { description: 'The server could not answer.', content: problemContent() },
}

function problemContent(): object {
  return { 'application/problem+json': { schema: Problem } }
}

function securityOf(access: Access): Record<string, string[]>[] {
  if (access.kind === 'user') return [{ bearer: [] }]
  if (access.kind === 'service') return [{ apiKey: [...access.scopes] }]
  return []
}

/** Serves the collected description at `/openapi.json`. */
export function addOpenApiRoute(app: App): void {
  let document: string | undefined
  app.get(
    '/openapi.json',
    {
      config: { access: publicAccess() },
      schema: { hide: true, response: { 200: Type.Unknown() } },
    },
    (_request, reply) => {
      document ??= JSON.stringify(app.swagger())
      return reply
        .type('application/json; charset=utf-8')
        .serializer((text: unknown) => text as string)
        .send(document)
    },
  )
}
