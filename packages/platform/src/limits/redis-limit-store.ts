import type { Cluster, Redis } from 'ioredis'
import type { Clock } from '../clock.ts'
import { storedLimitKey } from './limit-key.ts'
import { assertCost } from './limit-store.ts'
import type { LimitResult, LimitRule, LimitStore } from './limit-store.ts'

/**
 * Limits shared by every node on one Redis, Valkey or cluster: one round trip a take, timed by the
 * server's own clock. While Redis fails, or does not answer within 250 ms, `fallback` counts
 * instead, so each node still limits by itself; it is never unlimited and never an error. Redis is
 * then tried about once a second, beside the requests, and is used again as soon as it can write.
 */
export function createRedisLimitStore(deps: {
  readonly redis: Redis | Cluster
  readonly fallback: LimitStore
  readonly clock: Clock
  /** How long a take waits for Redis; 250 unless given. */
  readonly answerTimeoutMs?: number
  /** Called once when Redis is lost, with the reason. */
  readonly onDegraded?: ((error: unknown) => void) | undefined
  /** Called once when Redis counts again. */
  readonly onRecovered?: (() => void) | undefined
}): LimitStore {
  const { fallback, clock, answerTimeoutMs = 250, onDegraded, onRecovered } = deps
  const redis = withTakeCommand(deps.redis)
  let outage: Outage | undefined

  async function take(key: string, rule: LimitRule, cost = 1): Promise<LimitResult> {
    assertCost(cost)
    if (outage === undefined) {
      // The tag makes the cluster slot depend on the count alone, which keeps the trial key of an
      // outage on the same node.
      const redisKey = `qs:limit:{${storedLimitKey(key, rule)}}`
      const { quota, windowSeconds } = rule
      try {
        return await answerInTime(ask(redisKey, quota, windowSeconds * 1000, cost), answerTimeoutMs)
      } catch (error) {
        degrade(error, redisKey)
      }
    } else {
      tryAgain(outage)
    }
    return fallback.take(key, rule, cost)
  }

  async function ask(key: string, quota: number, windowMs: number, cost: number) {
    const [allowed, remaining, endsInMs] = (
      await redis.quaysideTakeLimit(key, quota, windowMs, cost)
    ).map(Number)
    return {
      allowed: allowed === 1,
      remaining: remaining ?? 0,
      resetSeconds: Math.ceil((endsInMs ?? 0) / 1000),
    }
  }

  function degrade(error: unknown, redisKey: string): void {
    // Many takes may be under way when Redis goes; the first one to fail speaks for all.
    if (outage !== undefined) return
    outage = { trialKey: `${redisKey}:trial`, triedAt: clock.now().getTime(), trying: false }
    onDegraded?.(error)
  }

  /**
   * Sends one trial at a time, so that nothing piles up in the client's queue in a long outage. It
   * is a take that must write, on the node that failed: a Redis that is full, read-only or half of
   * a cluster answers PING all the same.
   */
  function tryAgain(current: Outage): void {
    const now = clock.now().getTime()
    const sinceMs = now - current.triedAt
    const isDue = sinceMs >= trialIntervalMs || sinceMs < 0
    if (current.trying || !isDue) return
    current.triedAt = now
    void runTrial(current)
  }

  async function runTrial(current: Outage): Promise<void> {
    current.trying = true
    const answer = ask(current.trialKey, trialQuota, trialIntervalMs, 1)
    const isBack = await hasArrived(answerInTime(answer, answerTimeoutMs))
    // A late answer is no recovery, but the next trial waits for it.
    if (!isBack) await hasArrived(answer)
    current.trying = false
    if (!isBack) return
    outage = undefined
    onRecovered?.()
  }

  return { take, close: async () => {} }
}

const trialIntervalMs = 1000
const trialQuota = 1_000_000

interface Outage {
  readonly trialKey: string
  triedAt: number
  trying: boolean
}

/**
 * Ends in the answer or, after the time given, in an error. The answer gets one more turn of the event loop
 * after the timer: when this process itself was busy for so long, it lies unread in the socket.
 */
function answerInTime<T>(answer: Promise<T>, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      setImmediate(() => reject(new Error(`Redis did not answer within ${timeoutMs} ms.`)))
    }, timeoutMs)
    answer.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

function hasArrived(answer: Promise<unknown>): Promise<boolean> {
  return answer.then(
    () => true,
    () => false,
  )
}

interface TakeCommand {
  quaysideTakeLimit(
    key: string,
    quota: number,
    windowMs: number,
    cost: number,
  ): Promise<readonly (number | string)[]>
}

function withTakeCommand(redis: Redis | Cluster): TakeCommand {
  redis.defineCommand('quaysideTakeLimit', { numberOfKeys: 1, lua: takeScript })
  if (!hasTakeCommand(redis)) throw new Error('The Redis client did not define the command.')
  return redis
}

function hasTakeCommand(redis: object): redis is TakeCommand {
  return 'quaysideTakeLimit' in redis
}

// A key without an expiry (-1) cannot come from this script; it begins anew instead of shutting
// its owner out for ever. An end further off than one window comes from a rule that was longer.
const takeScript = `
local quota, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local left = redis.call('PTTL', KEYS[1])
local hits = left > 0 and tonumber(redis.call('GET', KEYS[1])) or 0
local fits = hits + cost <= quota
if fits then hits = hits + cost end
if left <= 0 then
  left = window
  redis.call('SET', KEYS[1], string.format('%d', hits), 'PX', window)
else
  if fits then redis.call('INCRBY', KEYS[1], cost) end
  if left > window then
    left = window
    redis.call('PEXPIRE', KEYS[1], window)
  end
end
return { fits and 1 or 0, math.max(0, quota - hits), left }
`
