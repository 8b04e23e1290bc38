import { type KeyObject, randomBytes, sign } from 'node:crypto'

/**
 * A self-signed X.509 certificate (RFC 5280) of an RSA key as PEM, like those that Google publishes
 * for Firebase. Node can read certificates but not make them, and this is all there is to it.
 */
export function selfSignedCertificate(keys: {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}): string {
  const name = sequence(set(sequence(oid('550403'), element(0x0c, Buffer.from('e2e')))))
  const algorithm = sequence(oid('2a864886f70d01010b'), element(0x05, Buffer.alloc(0)))
  const dayMs = 86_400_000
  const body = sequence(
    element(0xa0, element(0x02, Buffer.from([2]))),
    element(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    algorithm,
    name,
    sequence(time(Date.now() - dayMs), time(Date.now() + 30 * dayMs)),
    name,
    keys.publicKey.export({ type: 'spki', format: 'der' }),
  )
  const signature = sign('sha256', body, keys.privateKey)
  const bits = element(0x03, Buffer.concat([Buffer.from([0]), signature]))
  const base64 = sequence(body, algorithm, bits).toString('base64')
  const lines = base64.match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

/** One element in DER (X.690): tag, length, content. */
function element(tag: number, content: Buffer): Buffer {
  const { length } = content
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content])
  const size = length < 0x1_00 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

function sequence(...parts: Buffer[]): Buffer {
  return element(0x30, Buffer.concat(parts))
}

function set(...parts: Buffer[]): Buffer {
  return element(0x31, Buffer.concat(parts))
}

function oid(hex: string): Buffer {
  return element(0x06, Buffer.from(hex, 'hex'))
}

/** UTCTime: `YYMMDDHHMMSSZ`. */
function time(atMs: number): Buffer {
  const text = new Date(atMs).toISOString().replaceAll(/[-:T]/g, '').slice(2, 14)
  return element(0x17, Buffer.from(`${text}Z`))
}
