import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, test } from 'node:test'
import { text as readText } from 'node:stream/consumers'
import { fastify } from 'fastify'
import { closeLogger, flushLogger } from './logger.ts'
import { requestLine } from './request-line.ts'
import { captureLog } from './testing/captured-log.ts'

// The line ends of Python, Java and log shippers are among them.
const anyControl = /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u
const controls = '\r\n\u0000\u0007\u001b[31m\u007f\u0085\u009b\u2028\u2029\u202e\u2066'
const forged = `x${controls}{"level":"fatal","msg":"forged"}`

describe('a JSON line', () => {
  test('has an ISO time, a level by name, the process, the fields and the message', async () => {
    const { logger, lines, records } = await captureLog()
    logger.warn({ order: 'o1', count: 2 }, 'low stock')
    assert.equal(lines().length, 1)
    const { pid, hostname, ...rest } = records()[0] ?? {}
    assert.deepEqual([typeof pid, typeof hostname], ['number', 'string'])
    assert.deepEqual(rest, {
      level: 'warn',
      time: '2024-10-05T12:34:56.007Z',
      order: 'o1',
      count: 2,
      msg: 'low stock',
    })
  })
  test('has the right time when the second changes', async () => {
    const times = [56_999, 57_000, 57_001, 3_600_000, 57_002, 0].map(
      (ms) => new Date(Date.UTC(2024, 0, 1) + ms),
    )
    let now = new Date(0)
    const { logger, records } = await captureLog({ clock: { now: () => now } })
    for (const time of times) {
      now = time
      logger.info('tick')
    }
    assert.deepEqual(
      records().map((record) => record['time']),
      times.map((time) => time.toISOString()),
    )
  })
  test('appears from the level on that was asked for', async () => {
    const { logger, records } = await captureLog({ level: 'warn' })
    logger.info('no')
    logger.child({}, { level: 'error' }).warn('no')
    logger.warn('yes')
    assert.deepEqual(
      records().map((record) => record['msg']),
      ['yes'],
    )
  })
  test('takes an error alone, in a field, and with a message', async () => {
    const { logger, records } = await captureLog()
    const error = Object.assign(new TypeError('bad input'), { code: '22P02' })
    logger.error(error)
    logger.error({ err: error })
    logger.error(error, 'while placing %s', 'an order')
    for (const record of records()) {
      const err = record['err'] as Record<string, unknown>
      assert.deepEqual(
        [err['type'], err['message'], err['code']],
        ['TypeError', 'bad input', '22P02'],
      )
      assert.match(String(err['stack']), /logger\.test\.ts:\d+/)
    }
    assert.deepEqual(
      records().map((record) => record['msg']),
      ['bad input', 'bad input', 'while placing an order'],
    )
  })
  test('keeps bindings, serializers, prefixes and formatters of children working', async () => {
    const { logger, records } = await captureLog()
    const child = logger.child(
      { feature: 'orders' },
      {
        msgPrefix: '[orders] ',
        serializers: { user: (user: { id: string }) => user.id },
        formatters: { log: (fields) => ({ ...fields, added: true }) },
      },
    )
    child.child({ step: 2 }).info({ user: { id: 'u1', password: 'x' } }, 'placed %d', 3)
    const { feature, step, user, added, msg } = records()[0] ?? {}
    assert.deepEqual(
      [feature, step, user, added, msg],
      ['orders', 2, 'u1', true, '[orders] placed 3'],
    )
  })
  test('cannot be given another level, time or origin by what is logged', async () => {
    const { logger, lines, records } = await captureLog()
    const spoof = { level: 'fatal', time: 'never', pid: 1, hostname: 'h' }
    logger.info({ ...spoof }, 'a message')
    logger.child({ ...spoof }).info('a message')
    for (const [index, record] of records().entries()) {
      assert.deepEqual([record['level'], record['time']], ['info', '2024-10-05T12:34:56.007Z'])
      assert.deepEqual([record['level_'], record['time_']], ['fatal', 'never'])
      assert.equal(lines()[index]?.match(/"(?:level|time|pid|hostname)":/g)?.length, 4)
    }
  })
  test('is written for values that are no plain object', async () => {
    const { logger, records } = await captureLog()
    for (const value of [
      [1, 2],
      new Date(0),
      Buffer.from('x'),
      null,
      undefined,
      7,
      'text',
      new Map([['a', 1]]),
    ]) {
      logger.info(value as object)
    }
    const shown = records().map(({ value, msg, a }) => value ?? msg ?? a)
    assert.deepEqual(shown, [
      [1, 2],
      '1970-01-01T00:00:00.000Z',
      '[1 bytes]',
      undefined,
      undefined,
      7,
      'text',
      1,
    ])
  })
})

describe('a value with control characters never begins a second line', () => {
  const ways: Record<string, (log: Awaited<ReturnType<typeof captureLog>>['logger']) => void> = {
    message: (log) => log.info(forged),
    argument: (log) => log.info('got %s and %j', forged, { forged }),
    field: (log) => log.info({ forged, nested: { list: [forged] } }, 'a message'),
    'field name': (log) => log.info({ [forged]: 1, nested: { [forged]: 2 } }, 'a message'),
    binding: (log) => log.child({ forged }).info('a message'),
    'binding name': (log) => log.child({ [forged]: 1 }).info('a message'),
    prefix: (log) => log.child({}, { msgPrefix: forged }).info('a message'),
    email: (log) => log.info({ email: `${controls.trim()}a@b\u0085c.de` }, 'a message'),
    request: (log) =>
      requestLine(log, {
        method: forged,
        route: forged,
        url: `/x?${forged}`,
        status: 200,
        durationMs: 1,
        requestId: forged,
        userId: forged,
        address: forged,
        userAgent: forged,
      }),
  }
  for (const [way, write] of Object.entries(ways)) {
    test(`as ${way}`, async () => {
      const json = await captureLog()
      write(json.logger)
      assert.ok(json.text().endsWith('\n'))
      assert.doesNotMatch(json.text().slice(0, -1), anyControl)
      assert.equal(json.records()[0]?.['level'], 'info')
      const pretty = await captureLog({ format: 'pretty' })
      write(pretty.logger)
      assert.doesNotMatch(pretty.text().slice(0, -1), anyControl)
    })
  }
  test('as an error, where further lines are stack frames and indented', async () => {
    const error = Object.assign(new Error(forged, { cause: new Error(forged) }), { detail: forged })
    const json = await captureLog()
    json.logger.error(error, 'failed')
    assert.doesNotMatch(json.text().slice(0, -1), anyControl)
    const pretty = await captureLog({ format: 'pretty' })
    pretty.logger.error(error, 'failed')
    const [first, ...others] = pretty.lines()
    assert.match(first ?? '', /^\[.*\] ERROR: failed/)
    assert.ok(others.length > 3)
    for (const line of others) {
      assert.match(line, /^ {4}/)
      assert.doesNotMatch(line, anyControl)
    }
  })
  test('and the JSON value is unchanged', async () => {
    const { logger, records } = await captureLog()
    logger.info({ value: controls }, 'a message')
    assert.equal(records()[0]?.['value'], controls)
  })
})

test('pretty lines carry time, level, message and fields, without colours off a terminal', async () => {
  const { logger, lines } = await captureLog({ format: 'pretty' })
  logger.info({ order: 'o1' }, 'placed')
  assert.equal(lines().length, 1)
  assert.match(lines()[0] ?? '', /^\[\d\d:\d\d:56\.007\] INFO: placed \{"order":"o1"\}$/)
})

test('Fastify takes it, and its own lines are redacted and readable', async () => {
  const { logger, text, records } = await captureLog()
  const app = fastify({ loggerInstance: logger })
  app.get('/boom', () => {
    throw Object.assign(new Error('boom'), { password: 'Winter-2024' })
  })
  const reply = await app.inject({
    url: '/boom?token=abc123&state=def456&page=2',
    headers: { authorization: 'Bearer abc123', cookie: 'sid=ghi789' },
  })
  await app.close()
  assert.equal(reply.statusCode, 500)
  assert.doesNotMatch(text(), /abc123|def456|ghi789|Winter/)
  const [incoming, failed, completed] = records()
  assert.deepEqual(incoming?.['req'], {
    method: 'GET',
    url: '/boom?token=[redacted]&state=[redacted]&page=2',
    host: 'localhost:80',
    id: 'req-1',
    ip: '127.0.0.1',
  })
  assert.partialDeepStrictEqual(failed, { err: { message: 'boom', password: '[redacted]' } })
  assert.deepEqual(completed?.['res'], { statusCode: 500 })
  assert.equal(incoming['reqId'], completed['reqId'])
})

test('closing and flushing reach the destination', async () => {
  const calls: string[] = []
  for (const format of ['json', 'pretty'] as const) {
    const { logger } = await captureLog({
      format,
      destination: {
        write: () => undefined,
        flushSync: () => void calls.push('flush'),
        close: async () => void calls.push('close'),
      },
    })
    flushLogger(logger.child({}))
    await closeLogger(logger)
  }
  assert.deepEqual(calls, ['flush', 'close', 'flush', 'close'])
  flushLogger({})
  await closeLogger({})
})

describe('a process on standard output', () => {
  const prelude = `
    const { createLogger, flushLogger } = await import(${JSON.stringify(import.meta.resolve('./logger.ts'))})
    const logger = await createLogger({ level: 'info', format: FORMAT, redactSensitive: true })
  `
  const run = (code: string, format: string) =>
    spawn(
      process.execPath,
      [
        '--conditions=@quayside/source',
        '--input-type=module',
        '-e',
        prelude.replace('FORMAT', `'${format}'`) + code,
      ],
      { stdio: ['pipe', 'pipe', 'pipe'] },
    )
  const table: Record<string, [code: string, exitCode: number]> = {
    'ends by itself': ['logger.info("last")', 0],
    'calls process.exit': ['logger.info("last"); process.exit(3)', 3],
    'crashes after a flush': [
      'process.on("uncaughtException", (e) => { logger.fatal(e, "last"); flushLogger(logger); process.kill(process.pid, "SIGKILL") }); setImmediate(() => { throw new Error("x") })',
      -1,
    ],
  }
  for (const format of ['json', 'pretty']) {
    for (const [what, [code, exitCode]] of Object.entries(table)) {
      test(`that ${what} loses no ${format} line`, async () => {
        const child = run(`for (let i = 0; i < 500; i++) logger.info("line " + i); ${code}`, format)
        const [out, errors, [exit]] = await Promise.all([
          readText(child.stdout),
          readText(child.stderr),
          once(child, 'exit') as Promise<[number | null]>,
        ])
        assert.equal(errors, '')
        assert.equal(exit ?? -1, exitCode)
        for (let line = 0; line < 500; line++) assert.match(out, new RegExp(`line ${line}\\b`))
        assert.match(out, /last/)
        assert.ok(!out.includes('\u001b'))
      })
    }
    test(`whose reader is gone goes on and ends, ${format}`, async () => {
      const child = run(
        `process.stderr.write('ready'); for await (const _ of process.stdin) break
         for (let round = 0; round < 5; round++) {
           for (let i = 0; i < 200; i++) logger.info('line ' + i)
           await new Promise((later) => setTimeout(later, 10))
         }
         logger.fatal('still here'); process.exitCode = 7`,
        format,
      )
      await once(child.stderr, 'data')
      child.stdout.destroy()
      await once(child.stdout, 'close')
      child.stdin.end('go')
      const [exit] = (await once(child, 'exit')) as [number]
      assert.equal(exit, 7)
    })
  }
})
