/**
 * What the name of a field says about its value. `secret` and `password` never appear, `code` is
 * an OTP or OAuth code unless it reads like an error code, `email` and `phone` are masked,
 * `session` shows only a UUID, and `id` is a correlation id that stays readable.
 */
export type KeyKind =
  | 'plain'
  | 'secret'
  | 'password'
  | 'code'
  | 'email'
  | 'phone'
  | 'session'
  | 'id'

/**
 * Classifies a field, header, cookie or parameter name in camelCase, snake_case, kebab-case or
 * run together: `accessToken`, `X-Api-Key`, `new_password`, `clientsecret`.
 */
export function classifyKey(key: string): KeyKind {
  // A name this long is data used as a name; the text rules see it, this list cannot help.
  if (key.length > longestKey) return 'plain'
  const words = significantWords(key)
  const joined = words.join('')
  const last = words.at(-1) ?? ''
  return (
    nameRules.find((rule) => rule.words.has(last) || endsWithAny(joined, rule.endings))?.kind ??
    wholeNames.get(joined) ??
    'plain'
  )
}

/**
 * As `classifyKey` for a URL query parameter, where `code`, `state`, `key` and `sig` carry
 * credentials (RFC 6749, signed URLs) although they are ordinary words elsewhere.
 */
export function classifyQueryName(name: string): KeyKind {
  const kind = classifyKey(name)
  if (kind === 'code') return 'secret'
  const last = significantWords(name).at(-1)
  return kind === 'plain' && last !== undefined && querySecrets.has(last) ? 'secret' : kind
}

/** True for headers whose value runs to the end of the line, blanks and semicolons included. */
export function isHeaderLine(key: string): boolean {
  return /(?:authorization|cookie2?)$/i.test(key)
}

/**
 * True when the value of a field named `code` is an error code (`order_not_found`, `ECONNRESET`,
 * SQLSTATE `23505`, 404) and not a one-time or authorization code. Inside an error more spellings
 * count, because vendors put their own codes there.
 */
export function isPublicCode(value: unknown, insideError: boolean): boolean {
  if (typeof value === 'number') return value < (insideError ? 100_000 : 10_000)
  if (typeof value !== 'string') return value === null || typeof value === 'boolean'
  if (publicCode.test(value) || digitSqlStates.has(value)) return true
  return insideError && errorCode.test(value)
}

// Words after the noun that still describe the same secret: passwordHash, tokenValue, cookieHeader.
const qualifiers = namesIn(`
  base64 b64 confirm confirmation digest digits encoded encrypted hash header headers hex pem plain
  raw string text value values`)

interface NameRule {
  readonly kind: KeyKind
  /** The last word of the name, as a whole. */
  readonly words: ReadonlySet<string>
  /** How the name ends when its words are run together, at most 20 letters. */
  readonly endings: ReadonlySet<string>
}

// In order: a password is a stronger word than a secret, `phoneVerificationCode` is no phone.
const nameRules: readonly NameRule[] = [
  {
    kind: 'password',
    words: namesIn('otp otps pass pin pwd totp'),
    endings: namesIn(
      'password passwords passwd passphrase passcode secret secrets credential credentials',
    ),
  },
  {
    kind: 'secret',
    words: namesIn(
      'assertion auth bearer cvc cvv hmac jwt jws mnemonic nonce p256dh session sessions sid sig ssn',
    ),
    endings: namesIn(`
      token tokens authorization cookie cookies signature csrf xsrf apikey apikeys accesskey
      accesskeyid anonkey authkey encryptionkey masterkey privatekey secretkey serverkey servicekey
      servicerolekey sessionkey signingkey subscriptionkey authcode authorizationcode backupcode
      backupcodes confirmationcode devicecode logincode onetimecode oobcode otpcode pincode
      recoverycode recoverycodes securitycode smscode twofactorcode usercode verificationcode
      codeverifier codechallenge samlresponse samlrequest tokenhint connectionstring`),
  },
  { kind: 'session', words: namesIn(''), endings: namesIn('sessionid') },
  { kind: 'email', words: namesIn('email emails mail'), endings: namesIn('emailaddress') },
  {
    kind: 'phone',
    words: namesIn('phone phones mobile msisdn tel telephone cellphone fax'),
    endings: namesIn('phonenumber phonenumbers mobilenumber'),
  },
]
const wholeNames: ReadonlyMap<string, KeyKind> = new Map([
  ['code', 'code'],
  ['requestid', 'id'],
  ['reqid', 'id'],
  ['xrequestid', 'id'],
  ['correlationid', 'id'],
  ['traceid', 'id'],
  ['spanid', 'id'],
  ['traceparent', 'id'],
])
const querySecrets = namesIn('access challenge hash invite key refresh state ticket verifier')

function namesIn(list: string): ReadonlySet<string> {
  return new Set(list.split(/\s+/).filter((name) => name !== ''))
}

const longestKey = 128
const longestEnding = 20

// Identifiers without digits, short numbers, and the SQLSTATE classes that hold a letter.
const publicCode =
  /^(?:[a-z]{1,24}|[a-z]{1,24}(?:[_/-][a-z]{1,24}){1,8}|[A-Z]{1,24}(?:_[A-Z]{1,24}){1,8}|E[A-Z]{3,14}|\d{1,3}|\d\dP\d\d|(?:0A|0L|0P|0Z|2B|2D|2F|3B|3D|3F|F0|HV|P0|XX)[0-9A-Z]{3})$/
const errorCode =
  /^(?:[0-9A-Z]{5}|[A-Z][A-Z0-9]{1,23}(?:_[A-Z0-9]{1,24}){0,8}|(?:[A-Z][a-z]{1,20}){2,8}|\d{4,5})$/
// Listed one by one: a class like 23xxx would also let through every fifth five-digit OTP.
const digitSqlStates = namesIn(`
  00000 01000 02000 08000 08001 08003 08004 08006 08007 22000 22001 22003 22007 22008 22012 22023
  23000 23001 23502 23503 23505 23514 25000 25001 25006 26000 28000 34000 38000 40000 40001 40002
  40003 42501 42601 42602 42622 42701 42702 42703 42704 42710 42723 42725 42803 42804 42830 42846
  42883 42939 53000 53100 53200 53300 53400 54000 54001 54011 54023 55000 55006 57000 57014 58000
  58030`)

function significantWords(key: string): string[] {
  if (/^[a-z]+$/.test(key)) return [key]
  const words = key
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .map((word) => word.replace(/^(.*[a-z]{2})\d+$/, '$1'))
    .filter((word) => word !== '')
  while (words.length > 1 && qualifiers.has(words.at(-1) ?? '')) words.pop()
  return words
}

// By length from the end, 20 look-ups in a set, instead of comparing with each of 70 endings.
function endsWithAny(text: string, endings: ReadonlySet<string>): boolean {
  for (let length = Math.min(text.length, longestEnding); length >= 4; length--) {
    if (endings.has(text.slice(-length))) return true
  }
  return false
}
