import { createPublicKey } from 'node:crypto'
import express from 'express'
import jsonwebtoken from 'jsonwebtoken'
import { Pool } from 'pg'

// Express 5, pg and jsonwebtoken as a team would put them together after their documentation.

const config = JSON.parse(process.argv[2])
const pool = new Pool({
  connectionString: config.databaseUrl,
  max: config.poolSize,
  application_name: config.applicationName,
  // The default closes connections that rested for 10 s, which here are the turns of the others.
  idleTimeoutMillis: 300_000,
})
const { keys } = await fetch(config.jwksUri).then((response) => response.json())
const publicKey = createPublicKey({ key: keys[0], format: 'jwk' })
const userIds = new Map()

const app = express()
app.use(express.json())
app.get('/health/live', (_request, response) => {
  response.json({ status: 'ok' })
})
app.get('/auth/orders', authenticate, async (request, response) => {
  const limit = Number(request.query.limit ?? 50)
  if (!Number.isInteger(limit) || limit < 1 || limit > 200) {
    response.status(400).json({ error: 'invalid_request' })
    return
  }
  const { rows } = await pool.query(
    `select id, item, total, created_at from orders where user_id = $1
     order by created_at desc, id desc limit $2`,
    [request.userId, limit + 1],
  )
  const orders = rows.slice(0, limit).map((row) => ({
    id: row.id,
    item: row.item,
    total: Number(row.total),
    createdAt: row.created_at.toISOString(),
  }))
  const nextCursor = rows.length > limit ? encodeCursor(orders.at(-1)) : null
  response.json({ orders, nextCursor })
})
app.listen(config.port, '127.0.0.1')
process.once('SIGTERM', () => process.exit(0))

async function authenticate(request, response, next) {
  const [scheme, token] = (request.get('authorization') ?? '').split(' ')
  try {
    if (scheme !== 'Bearer') throw new jsonwebtoken.JsonWebTokenError('no token')
    const { issuer, audience } = config
    const claims = jsonwebtoken.verify(token, publicKey, {
      algorithms: ['RS256'],
      issuer,
      audience,
    })
    request.userId = await findUserId(claims.sub)
    next()
  } catch {
    response.status(401).json({ error: 'token_invalid' })
  }
}

async function findUserId(subject) {
  const known = userIds.get(subject)
  if (known !== undefined) return known
  const { rows } = await pool.query(
    'select user_id from identities where issuer = $1 and subject = $2',
    [config.issuer, subject],
  )
  userIds.set(subject, rows[0].user_id)
  return rows[0].user_id
}

function encodeCursor(order) {
  return Buffer.from(`${order.createdAt} ${order.id}`).toString('base64url')
}
