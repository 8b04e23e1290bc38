import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Logger } from 'pino'
import { requestLine } from './request-line.ts'
import type { CapturedLog } from './testing/captured-log.ts'
import { captureLog } from './testing/captured-log.ts'
import type { SecretForms } from './testing/canaries.ts'
import { contacts, credentials, databaseUrl, formsOf } from './testing/canaries.ts'

const { jwt, apiKey, password, otp, cookie, awsSecret, pem, sendgrid } = credentials
const { email, phone } = contacts

const body = {
  user: { email, phoneNumber: phone, password, displayName: 'visible name' },
  code: otp,
  access_token: jwt,
  apiKey,
  credentials: { aws_secret_access_key: awsSecret, privateKey: pem },
}
const json = JSON.stringify(body)
const form = new URLSearchParams({ email, phone, password, code: otp, token: jwt, key: awsSecret })
const headers = {
  Authorization: `Bearer ${jwt}`,
  'X-Api-Key': apiKey,
  Cookie: `sid=${cookie}; other=${cookie}`,
  'set-cookie': [`sid=${cookie}; Path=/; HttpOnly`],
  'X-Gateway-Secret': password,
  'Proxy-Authorization': `Basic ${Buffer.from(`user:${password}`).toString('base64')}`,
}
const headerLines = `Authorization: Bearer ${jwt}\r\nCookie: sid=${cookie}\r\nX-Api-Key: ${apiKey}`

/** Texts as vendors, drivers and careless callers write them. */
const texts: Record<string, string> = {
  'JSON body': json,
  'JSON in JSON': JSON.stringify({ body: json }),
  'JSON in JSON in JSON': JSON.stringify({ data: JSON.stringify({ body: json }) }),
  'JSON percent-encoded': encodeURIComponent(json),
  'JSON percent-encoded twice': encodeURIComponent(encodeURIComponent(json)),
  'JSON in base64': Buffer.from(json).toString('base64'),
  'JSON in base64url': Buffer.from(json).toString('base64url'),
  'JSON in hex': Buffer.from(json).toString('hex'),
  'JSON in MIME base64': Buffer.from(json).toString('base64').replace(/.{76}/g, '$&\r\n'),
  'form body': form.toString(),
  'URL with query': `https://api.example.com/v1/x?${form.toString()}#access_token=${jwt}`,
  'URL in a URL': `/callback?redirect_to=${encodeURIComponent(`https://app.example/?${form.toString()}`)}`,
  'database URL': `connect ECONNREFUSED ${databaseUrl}`,
  'header lines': headerLines,
  'bare tokens': `${jwt} ${apiKey} ${awsSecret} ${sendgrid} ${pem} ${email} ${phone}`,
  'bare tokens percent-encoded': encodeURIComponent(
    `${jwt} ${apiKey} ${sendgrid} ${email} ${phone}`,
  ),
  'unicode escapes': `mail ${email.replace('@', '\\u0040')} &#64; ${email.replace('@', '&#64;')}`,
  'contacts in base64': `${Buffer.from(email).toString('base64')} ${Buffer.from(phone).toString('base64url')}`,
  'contacts in hex': Buffer.from(`${email} ${phone}`).toString('hex'),
  'SMS text': `Your code is ${otp}. ${otp} is your Quayside code.`,
  'inspected object': `{ password: '${credentials.databasePassword}', code: '${otp}', 'api-key': "${apiKey}" }`,
  'connection string': `host=db password=${credentials.databasePassword} user=app`,
  'PostgreSQL detail': `Key (email)=(${email}) already exists.`,
}

function vendorError(): Error {
  const request = { headers, data: json, url: `https://api.example.com/?${form.toString()}` }
  const response = { status: 401, headers: new Headers({ cookie: `sid=${cookie}` }), body: json }
  const cause = Object.assign(new Error(`inner: ${json}`), { request })
  const message = `401 for ${email} with ${password}, ${otp}, ${Object.values(texts).join(' ')}`
  return Object.assign(new Error(message, { cause }), {
    code: 'ERR_VENDOR',
    response,
    config: { auth: { username: 'u', password }, params: form },
    query: `select * from users where email = '${email}'`,
    parameters: [email, password, otp],
    detail: `Failing row contains (1, ${email}, ${password}).`,
  })
}

const structures: Record<string, () => unknown> = {
  body: () => body,
  headers: () => headers,
  rawHeaders: () => Object.entries(headers).flat(2),
  'header pairs': () => ({ list: Object.entries(headers) }),
  Map: () =>
    new Map<string, unknown>([
      ['password', password],
      ['nested', new Map([['otp', otp]])],
    ]),
  Set: () => new Set([jwt, email, { password }]),
  Headers: () => new Headers({ authorization: `Bearer ${jwt}`, cookie: `sid=${cookie}` }),
  URLSearchParams: () => form,
  URL: () =>
    new URL(`https://user:${credentials.databasePassword}@example.com/?${form.toString()}`),
  Buffer: () => Buffer.from(json),
  'key names': () => ({ [email]: 1, [jwt]: 2, [phone]: 3 }),
  'numbers by name': () => ({ otp: Number(otp), phone: Number(phone) }),
  'vendor error': vendorError,
  AggregateError: () => new AggregateError([vendorError(), vendorError()], json),
  'error in an object': () => ({ outcome: { reason: vendorError() } }),
  'object with toJSON': () => ({ toJSON: () => body }),
  'class instance': () => Object.assign(new EventTarget(), body),
  getter: () => ({
    get apiKey() {
      return apiKey
    },
  }),
  'text in a list': () => Object.values(texts),
  'boxed text': () => ({ note: Object(json) as unknown }),
}

/** Every way into the logger that takes a text. */
const textWays: Record<string, (log: Logger, text: string) => void> = {
  message: (log, text) => log.info(text),
  'argument %s': (log, text) => log.info('got %s', text),
  'argument %o': (log, text) => log.info('got %o', { text }),
  'object field': (log, text) => log.warn({ text }, 'a message'),
  'message of an object': (log, text) => log.warn({ msg: text }),
  'message after an error': (log, text) => log.error(new Error('boom'), text),
  'error message': (log, text) => log.error(new Error(text)),
  'err field': (log, text) => log.error({ err: new Error(text) }),
  'child binding': (log, text) => log.child({ text }).info('a message'),
  'grandchild binding': (log, text) => log.child({ a: 1 }).child({ text }, {}).info('a message'),
  'set bindings': (log, text) => {
    const child = log.child({})
    child.setBindings({ text })
    child.info('a message')
  },
  'message prefix': (log, text) => log.child({}, { msgPrefix: `${text} ` }).info('a message'),
  'child serializer': (log, text) =>
    log.child({}, { serializers: { user: () => text } }).info({ user: 1 }),
  'child message serializer': (log, text) =>
    log.child({}, { serializers: { msg: () => text } }).info('a message'),
  'child formatter': (log, text) =>
    log.child({}, { formatters: { log: () => ({ text }) } }).info({ user: 1 }),
  'child bindings formatter': (log, text) =>
    log.child({ a: 1 }, { formatters: { bindings: () => ({ text }) } }).info('a message'),
  'fatal level': (log, text) => log.fatal(text),
  'custom level of a child': (log, text) =>
    log.child({}, { customLevels: { audit: 35 } }).warn(text),
}

const valueWays: Record<string, (log: Logger, value: unknown) => void> = {
  'merging object': (log, value) => log.info(value as object),
  'field of it': (log, value) => log.info({ value }, 'a message'),
  'err field': (log, value) => log.error({ err: value }, 'a message'),
  'argument %o': (log, value) => log.info('got %o', loose(value)),
  'argument %j': (log, value) => log.info('got %j and more', loose(value)),
  'extra argument': (log, value) => log.info({}, 'a message %s', loose(value)),
  'child binding': (log, value) => log.child({ value }).info('a message'),
}

// pino's types allow only the placeholders it knows; at run time anything may come.
function loose(value: unknown): never {
  return value as never
}

const credentialForms = Object.entries(credentials).map(([name, secret]) => formsOf(name, secret))
const contactForms = Object.entries(contacts).map(([name, secret]) => formsOf(name, secret))
const everything = [...credentialForms, ...contactForms]

function assertNoCanary(log: CapturedLog, secrets: readonly SecretForms[], way: string): void {
  const text = log.text()
  assert.notEqual(text, '', `${way}: nothing was logged`)
  for (const secret of secrets) {
    const found = secret.findIn(text)
    assert.equal(
      found,
      undefined,
      `${way}: ${secret.name} leaks as ${found} in ${text.slice(0, 3000)}`,
    )
  }
}

for (const format of ['json', 'pretty'] as const) {
  describe(`no canary reaches the ${format} log`, () => {
    for (const [way, write] of Object.entries(textWays)) {
      test(`through a text as ${way}`, async () => {
        for (const [name, text] of Object.entries(texts)) {
          const log = await captureLog({ format })
          write(log.logger, text)
          assertNoCanary(log, everything, `${way}, ${name}`)
        }
      })
    }
    for (const [way, write] of Object.entries(valueWays)) {
      test(`through a value as ${way}`, async () => {
        for (const [name, make] of Object.entries(structures)) {
          const log = await captureLog({ format })
          write(log.logger, make())
          assertNoCanary(log, everything, `${way}, ${name}`)
        }
      })
    }
    test('through the line of a request', async () => {
      for (const [name, text] of Object.entries(texts)) {
        for (const url of [
          `/x?q=${encodeURIComponent(text)}`,
          `/x/${encodeURIComponent(text)}`,
          `/x?${form.toString()}`,
        ]) {
          const log = await captureLog({ format })
          requestLine(log.logger, {
            ...request,
            url,
            userAgent: text,
            requestId: text,
            userId: text,
          })
          assertNoCanary(log, everything, `request line, ${name}`)
        }
      }
    })
  })
}

const request = {
  method: 'GET',
  route: '/x',
  status: 200,
  durationMs: 1,
  requestId: 'r1',
  address: '::1',
}

test('LOG_REDACT_SENSITIVE=false shows contacts and still no credential', async () => {
  for (const [name, make] of Object.entries(structures)) {
    const log = await captureLog({ redactSensitive: false })
    log.logger.info({ value: make() }, 'a message')
    assertNoCanary(log, credentialForms, name)
  }
  const log = await captureLog({ redactSensitive: false })
  log.logger.info({ user: body.user }, `mail ${email}, call ${phone}`)
  const [record] = log.records()
  assert.equal(record?.['msg'], `mail ${email}, call ${phone}`)
  assert.deepEqual(record['user'], { ...body.user, password: '[redacted]' })
})
