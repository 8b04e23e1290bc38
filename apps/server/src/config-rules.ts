import { isIP } from 'node:net'
import { type Static, Type } from 'typebox'
import type { CheckValue, ConfigIssue } from './config-check.ts'
import type { Environment } from './config.ts'

/** One entry of `AUTH_ISSUERS`: Supabase or any OpenID provider whose tokens are accepted. */
export const Issuer = Type.Object(
  {
    issuer: Type.String({ minLength: 1 }),
    audience: Type.Union([
      Type.String({ minLength: 1 }),
      Type.Array(Type.String({ minLength: 1 }), { minItems: 1 }),
    ]),
    algorithms: Type.Array(Type.String(), { minItems: 1 }),
    jwksUri: Type.Optional(Type.String({ minLength: 1 })),
    secret: Type.Optional(Type.String({ minLength: 32 })),
    requiredClaims: Type.Optional(
      Type.Union([Type.Array(Type.String()), Type.Record(Type.String(), Type.Unknown())]),
    ),
    rolesClaim: Type.Optional(Type.String({ minLength: 1 })),
    authorizedParties: Type.Optional(Type.Array(Type.String({ minLength: 1 }), { minItems: 1 })),
  },
  { additionalProperties: false },
)
export type Issuer = Static<typeof Issuer>

/** Reads `AUTH_ISSUERS`, a JSON list; an issuer without an audience is a problem, not a default. */
export function readIssuers(
  text: string | undefined,
  check: CheckValue,
  problems: string[],
): Issuer[] {
  if (text === undefined) return []
  let entries: unknown
  try {
    entries = JSON.parse(text)
  } catch {
    problems.push('AUTH_ISSUERS: must be a JSON list')
    return []
  }
  if (!Array.isArray(entries)) {
    problems.push('AUTH_ISSUERS: must be a JSON list')
    return []
  }
  return entries.filter((entry, index): entry is Issuer => {
    const issue = check(Issuer, entry)
    if (issue) problems.push(`AUTH_ISSUERS[${index}]${issue.path}: ${wordsOf(issue)}`)
    return !issue
  })
}

/** A union reports its first member's complaint, which misleads about the other. */
function wordsOf({ path, message }: ConfigIssue): string {
  return path.startsWith('/audience') ? 'must be text or a non-empty list of texts' : message
}

/** Finds settings that are only half there. Each would otherwise fail late, or quietly do nothing. */
export function assertConsistent(env: Environment, problems: string[]): void {
  const need = (given: unknown, name: string, because: string) => {
    if (given === undefined) problems.push(`${name}: must be set, because ${because}`)
  }
  if (env.COGNITO_USER_POOL_ID !== undefined) {
    need(env.AWS_REGION, 'AWS_REGION', 'COGNITO_USER_POOL_ID is')
    if (!env.COGNITO_TRUST_GATEWAY)
      need(env.COGNITO_CLIENT_ID, 'COGNITO_CLIENT_ID', 'COGNITO_USER_POOL_ID is')
  }
  if (env.COGNITO_TRUST_GATEWAY) {
    need(env.COGNITO_USER_POOL_ID, 'COGNITO_USER_POOL_ID', 'COGNITO_TRUST_GATEWAY is')
    need(env.GATEWAY_SHARED_SECRET, 'GATEWAY_SHARED_SECRET', 'COGNITO_TRUST_GATEWAY is')
  } else if (env.GATEWAY_SHARED_SECRET !== undefined) {
    problems.push('GATEWAY_SHARED_SECRET: does nothing unless COGNITO_TRUST_GATEWAY=true')
  }
  if (env.GATEWAY_SHARED_SECRET?.split(',').some((secret) => secret.trim().length < 32))
    problems.push('GATEWAY_SHARED_SECRET: each secret must have at least 32 characters')
  for (const name of ['COGNITO_CLIENT_ID', 'COGNITO_ENDPOINT'] as const)
    if (env[name] !== undefined)
      need(env.COGNITO_USER_POOL_ID, 'COGNITO_USER_POOL_ID', `${name} is`)
  assertFirebase(env, need, problems)
  if (env.REDIS_URL !== undefined && !isUrl(env.REDIS_URL, /^rediss?:$/))
    problems.push('REDIS_URL: must look like redis://host:6379')
  assertProxies(env.TRUSTED_PROXIES, problems)
  assertOrigins(env.CLIENT_DOMAIN, problems)
}

function assertFirebase(
  env: Environment,
  need: (given: unknown, name: string, because: string) => void,
  problems: string[],
): void {
  for (const name of ['FIREBASE_AUTH_EMULATOR_HOST', 'FIREBASE_KEYS_URL'] as const)
    if (env[name] !== undefined) need(env.FIREBASE_PROJECT_ID, 'FIREBASE_PROJECT_ID', `${name} is`)
  if (
    env.FIREBASE_AUTH_EMULATOR_HOST !== undefined &&
    env.FIREBASE_PROJECT_ID !== undefined &&
    !env.FIREBASE_PROJECT_ID.startsWith('demo-')
  )
    // The emulator's tokens are unsigned: with a real project anybody could be anybody.
    problems.push('FIREBASE_AUTH_EMULATOR_HOST: only for a project whose id begins with demo-')
  if (env.FIREBASE_CHECK_REVOKED) {
    need(env.FIREBASE_PROJECT_ID, 'FIREBASE_PROJECT_ID', 'FIREBASE_CHECK_REVOKED is')
    if (env.FIREBASE_AUTH_EMULATOR_HOST === undefined)
      need(
        env.GOOGLE_APPLICATION_CREDENTIALS,
        'GOOGLE_APPLICATION_CREDENTIALS',
        'FIREBASE_CHECK_REVOKED is',
      )
  }
}

function assertProxies(text: string | undefined, problems: string[]): void {
  const isRange = (each: string) => {
    const [address = '', bits = '0'] = each.split('/')
    return (
      isIP(address) !== 0 &&
      /^\d{1,3}$/.test(bits) &&
      Number(bits) <= (isIP(address) === 4 ? 32 : 128)
    )
  }
  const given = (text ?? '').split(',').map((part) => part.trim())
  if (!given.every((each) => each === '' || isRange(each)))
    problems.push('TRUSTED_PROXIES: must be addresses or CIDR ranges, separated by commas')
}

function assertOrigins(text: string | undefined, problems: string[]): void {
  for (const each of (text ?? '').split(',').map((part) => part.trim()))
    if (each !== '' && (!URL.canParse(each) || new URL(each).origin !== each))
      problems.push(
        'CLIENT_DOMAIN: must be origins such as https://app.example.com, separated by commas',
      )
}

/** The database's URL from any of the three ways to give it; undefined means the embedded one. */
export function databaseAddress(env: Environment, problems: string[]): string | undefined {
  const given = [env.DATABASE_URL, env.PROJECT_DATABASE_URL].filter((url) => url !== undefined)
  if (new Set(given).size > 1)
    problems.push('DATABASE_URL and PROJECT_DATABASE_URL: name two databases; set one')
  for (const name of ['DATABASE_URL', 'PROJECT_DATABASE_URL'] as const)
    if (env[name] !== undefined && !isUrl(env[name], /^postgres(ql)?:$/))
      problems.push(`${name}: must look like postgres://user:password@host:5432/name`)
  return given[0] ?? fromParts(env, problems)
}

function isUrl(text: string, protocol: RegExp): boolean {
  return URL.canParse(text) && protocol.test(new URL(text).protocol)
}

function fromParts(env: Environment, problems: string[]): string | undefined {
  const { DB_HOST, DB_PORT, DB_USER, DB_PASSWORD, DB_NAME } = env
  if ([DB_HOST, DB_PORT, DB_USER, DB_PASSWORD, DB_NAME].every((part) => part === undefined))
    return undefined
  if (DB_HOST === undefined || DB_USER === undefined || DB_NAME === undefined) {
    problems.push('DB_HOST, DB_USER and DB_NAME: must all be set when one of DB_* is')
    return undefined
  }
  const password = DB_PASSWORD === undefined ? '' : `:${encodeURIComponent(DB_PASSWORD)}`
  const host = DB_HOST.includes(':') ? `[${DB_HOST}]` : DB_HOST
  return `postgres://${encodeURIComponent(DB_USER)}${password}@${host}:${DB_PORT ?? 5432}/${encodeURIComponent(DB_NAME)}`
}
