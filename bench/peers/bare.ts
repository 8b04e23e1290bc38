import { createPublicKey, type JsonWebKey, type KeyObject, verify } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import postgres from 'postgres'

// The honest minimum: node:http and postgres.js with the same query, the same bytes in the reply,
// prepared statements and a pool of the same size. It checks the method, the path, `limit` and the
// token, and does nothing else that a server in production has to do.

interface PeerConfig {
  readonly port: number
  readonly databaseUrl: string
  readonly applicationName: string
  readonly poolSize: number
  readonly issuer: string
  readonly audience: string
  readonly jwksUri: string
}

interface OrderRow {
  readonly id: string
  readonly item: string
  readonly total: number
  readonly createdAt: string
}

interface Verified {
  readonly userId: string
  readonly expiresMs: number
}

const config: PeerConfig = JSON.parse(process.argv[2] ?? '{}')
const sql = postgres(config.databaseUrl, {
  max: config.poolSize,
  connection: { application_name: config.applicationName, TimeZone: 'UTC' },
  types: {
    numeric: { to: 1700, from: [1700], serialize: String, parse: Number },
    timestamptz: { to: 1184, from: [1184], serialize: String, parse: toIsoText },
  },
})
const key = await loadKey(config.jwksUri)
const verifiedTokens = new Map<string, Verified>()

const server = createServer((request, response) => {
  handle(request, response).catch(() => send(response, 500, '{"error":"internal"}'))
})
server.listen(config.port, '127.0.0.1')
process.once('SIGTERM', () => process.exit(0))

async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [path, query] = (request.url ?? '').split('?')
  if (path === '/health/live') return send(response, 200, '{"status":"ok"}')
  if (path !== '/auth/orders') return send(response, 404, '{"error":"not_found"}')
  if (request.method !== 'GET') return send(response, 405, '{"error":"method_not_allowed"}')
  const limit = readLimit(query)
  if (limit === undefined) return send(response, 400, '{"error":"invalid_request"}')
  const caller = await authenticate(request.headers.authorization)
  if (caller === undefined) return send(response, 401, '{"error":"token_invalid"}')
  send(response, 200, await listOrders(caller.userId, limit))
}

async function listOrders(userId: string, limit: number): Promise<string> {
  const rows = await sql<OrderRow[]>`
    select id, item, total, created_at as "createdAt" from orders where user_id = ${userId}
    order by created_at desc, id desc limit ${limit + 1}`
  const orders = rows.slice(0, limit)
  const last = rows.length > limit ? orders.at(-1) : undefined
  const nextCursor = last === undefined ? null : encodeCursor(last)
  return JSON.stringify({ orders, nextCursor })
}

function encodeCursor(row: OrderRow): string {
  return Buffer.from(`${row.createdAt} ${row.id}`).toString('base64url')
}

function readLimit(query = ''): number | undefined {
  const text = /(?:^|&)limit=(\d+)(?:&|$)/.exec(query)?.[1] ?? '50'
  const limit = Number(text)
  return limit >= 1 && limit <= 200 ? limit : undefined
}

async function authenticate(header = ''): Promise<Verified | undefined> {
  if (!header.startsWith('Bearer ')) return undefined
  const token = header.slice(7)
  const known = verifiedTokens.get(token)
  if (known !== undefined && known.expiresMs > Date.now()) return known
  const verified = await verifyToken(token)
  if (verified === undefined) return undefined
  if (verifiedTokens.size >= 10_000) verifiedTokens.clear()
  verifiedTokens.set(token, verified)
  return verified
}

async function verifyToken(token: string): Promise<Verified | undefined> {
  const [head = '', body = '', signature = ''] = token.split('.')
  const header = JSON.parse(Buffer.from(head, 'base64url').toString())
  const signed = Buffer.from(`${head}.${body}`)
  const good = verify('sha256', signed, key, Buffer.from(signature, 'base64url'))
  if (header.alg !== 'RS256' || !good) return undefined
  const claims = JSON.parse(Buffer.from(body, 'base64url').toString())
  if (claims.iss !== config.issuer || claims.aud !== config.audience) return undefined
  const expiresMs = claims.exp * 1000
  if (!(expiresMs > Date.now())) return undefined
  const [identity] = await sql<{ userId: string }[]>`
    select user_id as "userId" from identities
    where issuer = ${claims.iss} and subject = ${claims.sub}`
  return identity === undefined ? undefined : { userId: identity.userId, expiresMs }
}

async function loadKey(jwksUri: string): Promise<KeyObject> {
  const response = await fetch(jwksUri)
  const { keys }: { keys: [JsonWebKey] } = JSON.parse(await response.text())
  return createPublicKey({ key: keys[0], format: 'jwk' })
}

function send(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
  })
  response.end(body)
}

/** PostgreSQL writes `2026-11-20 12:00:00.12+00` and leaves out the zeros at the end. */
function toIsoText(text: string): string {
  const fraction = text.slice(20, -3)
  return `${text.slice(0, 10)}T${text.slice(11, 19)}.${fraction.padEnd(3, '0')}Z`
}
