import { constants, createHmac, type KeyObject, sign } from 'node:crypto'
import { encode, firebaseClaims, type Members, signToken } from './firebase-token.ts'
import type { SigningKey } from './firebase-token.ts'

/** A token that must be refused, and why. */
export interface Refusal {
  readonly name: string
  readonly token: string
  /** `token_invalid` where nothing is said. */
  readonly code?: 'token_expired'
  /** What Google's Admin SDK lets through although its own documentation forbids it, or we do. */
  readonly adminAccepts?: true
}

/** Every way in which a token fails to be an ID token of the project. `published` is the real key. */
export function firebaseRefusals(published: SigningKey, unpublished: SigningKey): Refusal[] {
  const nowS = Math.floor(Date.now() / 1000)
  return [
    ...wrongTimes(published, nowS),
    ...wrongClaims(published, nowS),
    ...wrongHeaders(published, unpublished),
    ...wrongSignatures(published, unpublished),
    ...wrongForms(published),
  ]
}

function wrongTimes(key: SigningKey, nowS: number): Refusal[] {
  const token = (changes: Members) => signToken(firebaseClaims(changes), key)
  const later = nowS + 600
  return [
    { name: 'expired an hour ago', token: token({ exp: nowS - 3600 }), code: 'token_expired' },
    { name: 'expired a second ago', token: token({ exp: nowS - 1 }), code: 'token_expired' },
    { name: 'iat in the future', token: token({ iat: later }), adminAccepts: true },
    { name: 'auth_time in the future', token: token({ auth_time: later }), adminAccepts: true },
    { name: 'nbf in the future', token: token({ nbf: later }) },
    { name: 'no exp', token: token({ exp: undefined }), adminAccepts: true },
    { name: 'no iat', token: token({ iat: undefined }), adminAccepts: true },
    { name: 'no auth_time', token: token({ auth_time: undefined }), adminAccepts: true },
    { name: 'exp as text', token: token({ exp: String(later) }) },
    { name: 'iat as text', token: token({ iat: String(nowS) }), adminAccepts: true },
    { name: 'exp beyond every number', token: beyondEveryNumber(key), adminAccepts: true },
  ]
}

/** JSON.parse reads 1e999 as Infinity, and a token of that age never ends. */
function beyondEveryNumber(key: SigningKey): string {
  const claims = JSON.stringify(firebaseClaims({ exp: 0 })).replace('"exp":0', '"exp":1e999')
  const header = encode({ alg: 'RS256', kid: key.kid, typ: 'JWT' })
  const input = `${header}.${Buffer.from(claims).toString('base64url')}`
  return `${input}.${sign('sha256', Buffer.from(input), key.privateKey).toString('base64url')}`
}

function wrongClaims(key: SigningKey, nowS: number): Refusal[] {
  const token = (changes: Members) => signToken(firebaseClaims(changes), key)
  const { aud, iss } = firebaseClaims()
  const serviceAccount = 'firebase-adminsdk@quayside-e2e.iam.gserviceaccount.com'
  const toolkit =
    'https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit'
  const custom = { aud: toolkit, iss: serviceAccount, sub: serviceAccount, uid: 'alice' }
  return [
    { name: 'aud as a list', token: token({ aud: [aud] }) },
    { name: 'aud of another project', token: token({ aud: 'another' }) },
    { name: 'no aud', token: token({ aud: undefined }) },
    { name: 'iss with a slash at its end', token: token({ iss: `${String(iss)}/` }) },
    { name: 'iss of another project', token: token({ iss: 'https://securetoken.google.com/x' }) },
    { name: 'iss without https', token: token({ iss: String(iss).replace('https', 'http') }) },
    { name: 'no iss', token: token({ iss: undefined }) },
    {
      name: 'a session cookie',
      token: token({ iss: `https://session.firebase.google.com/${String(aud)}` }),
    },
    { name: 'a custom token', token: token({ ...custom, exp: nowS + 3600 }) },
    {
      name: 'a custom token without kid',
      token: signToken(firebaseClaims(custom), key, { header: { kid: undefined } }),
    },
    { name: 'an empty sub', token: token({ sub: '' }) },
    { name: 'a sub of 129 characters', token: token({ sub: 'a'.repeat(129) }) },
    { name: 'no sub', token: token({ sub: undefined }) },
    { name: 'sub as a number', token: token({ sub: 42 }) },
    {
      name: 'sub that PostgreSQL cannot keep',
      token: token({ sub: 'a\u0000b' }),
      adminAccepts: true,
    },
  ]
}

function wrongHeaders(key: SigningKey, other: SigningKey): Refusal[] {
  const token = (header: Members, by = key) => signToken(firebaseClaims(), by, { header })
  const jwk = other.publicKey.export({ format: 'jwk' })
  return [
    { name: 'no kid', token: token({ kid: undefined }) },
    { name: 'an unknown kid', token: token({ kid: 'unknown' }) },
    { name: 'an empty kid', token: token({ kid: '' }), adminAccepts: true },
    { name: 'kid __proto__', token: token({ kid: '__proto__' }) },
    { name: 'kid constructor', token: token({ kid: 'constructor' }) },
    { name: 'kid as a list', token: token({ kid: [key.kid] }), adminAccepts: true },
    { name: 'a key brought along', token: token({ kid: key.kid, jwk }, other) },
    { name: 'a key brought along, without kid', token: token({ kid: undefined, jwk }, other) },
    {
      name: 'a key named by address',
      token: token({ kid: key.kid, jku: 'http://127.0.0.1:1/' }, other),
    },
    {
      name: 'a critical extension',
      token: token({ crit: ['exp'], exp: 1 }),
      adminAccepts: true,
    },
    {
      name: 'typ of another kind of token',
      token: token({ typ: 'logout+jwt' }),
      adminAccepts: true,
    },
  ]
}

function wrongSignatures(key: SigningKey, other: SigningKey): Refusal[] {
  const claims = firebaseClaims()
  const good = signToken(claims, key)
  const [header = '', payload = '', signature = ''] = good.split('.')
  const resign = (alg: string, signer: (input: string) => Buffer, more: Members = {}) =>
    signToken(claims, key, { header: { alg, ...more }, signer })
  const hmac = (secret: string | KeyObject) => (input: string) =>
    createHmac('sha256', typeof secret === 'string' ? secret : pem(secret))
      .update(input)
      .digest()
  const nothing = () => Buffer.alloc(0)
  const pss = { key: key.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
  const bytes = Buffer.from(signature, 'base64url')
  bytes[100] = (bytes[100] ?? 0) ^ 1
  return [
    { name: 'HS256 with the public key as secret', token: resign('HS256', hmac(key.publicKey)) },
    { name: 'HS256 with the certificate as secret', token: resign('HS256', hmac(key.certificate)) },
    { name: 'HS256 with no secret', token: resign('HS256', hmac('')) },
    { name: 'alg none', token: resign('none', nothing) },
    { name: 'alg none as the emulator signs', token: resign('none', nothing, { kid: undefined }) },
    { name: 'alg NONE', token: resign('NONE', nothing) },
    {
      name: 'alg none with a good signature',
      token: `${encode({ alg: 'none' })}.${payload}.${signature}`,
    },
    {
      name: 'RS512 with the right key',
      token: resign('RS512', (input) => sign('sha512', Buffer.from(input), key.privateKey)),
    },
    {
      name: 'PS256 with the right key',
      token: resign('PS256', (input) => sign('sha256', Buffer.from(input), pss)),
    },
    { name: 'a legacy custom token', token: legacyCustomToken() },
    { name: 'signed by another key', token: signToken(claims, { ...other, kid: key.kid }) },
    { name: 'signed by a key not published', token: signToken(claims, other) },
    {
      name: 'another user put in',
      token: `${header}.${encode(firebaseClaims({ sub: 'mallory' }))}.${signature}`,
    },
    {
      name: 'one bit of the signature turned',
      token: `${header}.${payload}.${bytes.toString('base64url')}`,
    },
    { name: 'half a signature', token: `${header}.${payload}.${signature.slice(0, 171)}` },
    { name: 'no signature', token: `${header}.${payload}.` },
    {
      name: "another token's signature",
      token: `${header}.${payload}.${signToken(firebaseClaims({ sub: 'bob' }), key).split('.')[2]}`,
    },
  ]
}

function legacyCustomToken(): string {
  const input = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ v: 0, d: { uid: 'alice' }, iat: 1 })}`
  return `${input}.${createHmac('sha256', 'old secret').update(input).digest('base64url')}`
}

function pem(key: KeyObject): string {
  return key.export({ type: 'spki', format: 'pem' }).toString()
}

function wrongForms(key: SigningKey): Refusal[] {
  const good = signToken(firebaseClaims(), key)
  const [header = '', payload = '', signature = ''] = good.split('.')
  const odd = (part: string) => `${part}=`
  return [
    { name: 'two parts', token: `${header}.${payload}` },
    { name: 'four parts', token: `${good}.${signature}` },
    { name: 'one word', token: 'secret' },
    { name: 'padding after the signature', token: odd(good) },
    { name: 'padding after the header', token: `${odd(header)}.${payload}.${signature}` },
    { name: 'a foreign character in the middle', token: `${header}.${payload}.~${signature}` },
    { name: 'the signature in another spelling', token: respell(good), adminAccepts: true },
    { name: 'a payload that is a list', token: signed(key, header, encode([firebaseClaims()])) },
    { name: 'a payload that is no JSON', token: signed(key, header, 'AAAA') },
    {
      name: 'more than 8 KiB',
      token: signToken(firebaseClaims({ filler: 'x'.repeat(8192) }), key),
      adminAccepts: true,
    },
  ]
}

/** 256 bytes leave four bits of the last character without a use: these are set here. */
function respell(token: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return `${token.slice(0, -1)}${alphabet[alphabet.indexOf(token.slice(-1)) + 1]}`
}

function signed(key: SigningKey, header: string, payload: string): string {
  const input = `${header}.${payload}`
  return `${input}.${sign('sha256', Buffer.from(input), key.privateKey).toString('base64url')}`
}
