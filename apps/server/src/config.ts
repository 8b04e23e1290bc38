import { type Static, type TSchema, Type } from 'typebox'
import { type CheckValue, createConfigCheck } from './config-check.ts'
import { assertConsistent, databaseAddress, readIssuers } from './config-rules.ts'

const Text = Type.Optional(Type.String())
const Flag = (fallback: boolean) => Type.Boolean({ default: fallback })
const Count = (fallback: number, minimum = 1) => Type.Integer({ default: fallback, minimum })

/** Every variable that the server reads. `.env.example` explains each; a test compares the two. */
export const Environment = Type.Object({
  HOST: Type.String({ default: '127.0.0.1' }),
  PORT: Type.Integer({ default: 8080, minimum: 0, maximum: 65_535 }),
  QUAYSIDE_DATA_DIR: Type.String({ default: '.quayside' }),
  DATABASE_URL: Text,
  PROJECT_DATABASE_URL: Text,
  DB_HOST: Text,
  DB_PORT: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
  DB_USER: Text,
  DB_PASSWORD: Text,
  DB_NAME: Text,
  DATABASE_CA_FILE: Text,
  DATABASE_POOL_SIZE: Count(10),
  DATABASE_STATEMENT_TIMEOUT_MS: Count(10_000, 100),
  DATABASE_LOCK_TIMEOUT_MS: Count(4_000, 100),
  REDIS_URL: Text,
  FIREBASE_PROJECT_ID: Text,
  FIREBASE_KEYS_URL: Text,
  FIREBASE_AUTH_EMULATOR_HOST: Text,
  FIREBASE_CHECK_REVOKED: Flag(false),
  GOOGLE_APPLICATION_CREDENTIALS: Text,
  AWS_REGION: Text,
  COGNITO_USER_POOL_ID: Text,
  COGNITO_CLIENT_ID: Text,
  COGNITO_ENDPOINT: Text,
  COGNITO_TRUST_GATEWAY: Flag(false),
  GATEWAY_SHARED_SECRET: Text,
  AUTH_ISSUERS: Text,
  TRUSTED_PROXIES: Text,
  CLIENT_DOMAIN: Text,
  BODY_BYTES_MAX: Count(1_048_576),
  HEADERS_TIMEOUT_MS: Count(10_000, 500),
  REQUEST_TIMEOUT_MS: Count(30_000, 500),
  IDLE_TIMEOUT_MS: Count(75_000, 500),
  RATE_LIMIT_USER: Count(3_000),
  RATE_LIMIT_ADDRESS: Count(6_000),
  SHUTDOWN_DRAIN_MS: Count(2_000, 0),
  LOG_LEVEL: Type.Union(
    ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'].map((level) =>
      Type.Literal(level),
    ),
    { default: 'info' },
  ),
  LOG_FORMAT: Type.Union([Type.Literal('json'), Type.Literal('pretty')], { default: 'json' }),
  LOG_REDACT_SENSITIVE: Flag(true),
  OTEL_EXPORTER_OTLP_ENDPOINT: Text,
  OTEL_SERVICE_NAME: Type.String({ default: 'quayside' }),
})

/** The environment as parsed: numbers are numbers, what is empty is not there. */
export type Environment = Static<typeof Environment>

export type Config = ReturnType<typeof loadConfig>

/**
 * Reads the whole environment once. Every problem is reported together, by name; values are never
 * shown, because some of them are secrets. The result is frozen.
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>) {
  const problems: string[] = []
  const check = createConfigCheck()
  const variables = parse(env, check, problems)
  const issuers = readIssuers(variables.AUTH_ISSUERS, check, problems)
  assertConsistent(variables, problems)
  const databaseUrl = databaseAddress(variables, problems)
  if (variables.DATABASE_CA_FILE !== undefined && databaseUrl === undefined)
    problems.push('DATABASE_CA_FILE: does nothing for the embedded database')
  if (problems.length > 0)
    throw new ConfigurationError(`The environment is not usable:\n- ${problems.join('\n- ')}`)
  return Object.freeze({
    ...variables,
    databaseUrl,
    issuers,
    trustedProxies: list(variables.TRUSTED_PROXIES),
    clientOrigins: list(variables.CLIENT_DOMAIN),
    gatewaySecrets: list(variables.GATEWAY_SHARED_SECRET),
    cognitoClientIds: list(variables.COGNITO_CLIENT_ID),
  })
}

/** The environment cannot be used. Its message names every variable that is wrong. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError'
}

function parse(
  env: Readonly<Record<string, string | undefined>>,
  check: CheckValue,
  problems: string[],
): Environment {
  const variables: Record<string, unknown> = {}
  for (const [name, schema] of Object.entries<TSchema>(Environment.properties)) {
    const text = env[name]?.trim()
    const value = text ? read(schema, text) : Reflect.get(schema, 'default')
    if (value === undefined) continue
    const issue = check(schema, value)
    if (issue) problems.push(`${name}: ${choicesOf(schema) ?? issue.message}`)
    else variables[name] = value
  }
  return variables as Environment
}

function choicesOf(schema: TSchema): string | undefined {
  if (!Type.IsUnion(schema)) return undefined
  return `must be one of ${schema.anyOf.map((each) => Reflect.get(each, 'const')).join(', ')}`
}

/** The text as the schema's type where it clearly is one, else as it is, to be refused. */
function read(schema: TSchema, text: string): unknown {
  const type: unknown = Reflect.get(schema, 'type')
  if (type === 'integer' && /^-?\d{1,15}$/.test(text)) return Number(text)
  if (type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true'
  return text
}

function list(text: string | undefined): string[] {
  return (text ?? '')
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '')
}
