/** Unique values that must never be found in the log, in any form. None of them is real. */
export const credentials = {
  jwt: 'eyJhbGciOiJSUzI1NiIsImtpZCI6ImsxIn0.eyJzdWIiOiJjYW5hcnktMSIsImV4cCI6MTcyODAwMDAwMH0.Zm9yZ2VkLXNpZ25hdHVyZS1vZi10aGUtY2FuYXJ5',
  apiKey: 'qk_9fK2mPq7RtXw4ZbN8vLcY3dHsJ6gTe1a',
  password: 'Tr0ub4dor&3 "quoted" %41/ümlaut',
  otp: '730184',
  cookie: 's%3AvQ8mZt4KpX.w1Lr5Nb7',
  awsSecret: 'hY7/pQ2mWxkT9+vLr4ZcNb8sGd3JfKe6aUo1RiXt',
  databasePassword: 'pg-S3cr3t-9xQz',
  pem: '-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\nMzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDu\nictGeurT8jNbvJZHtCSu\n-----END PRIVATE KEY-----',
  sendgrid: 'SG.kX92mQpLwTzR4vNb.7YcHd3JsGf6Ke1aUoRiXtB5n',
} as const

export const contacts = {
  email: 'canary.person@mailbox.example',
  phone: '+4915198765432',
} as const

export const databaseUrl = `postgres://app:${credentials.databasePassword}@db.internal:5432/app`

/** The encodings of one secret, to look for in an output. */
export interface SecretForms {
  readonly name: string
  /** The first encoding, or stretch of 12 characters of one, that the text contains. */
  readonly findIn: (text: string) => string | undefined
}

/** Raw, percent-encoded once, twice and in full, JSON-escaped, hex, and base64 at each offset. */
export function formsOf(name: string, secret: string): SecretForms {
  const bytes = Buffer.from(secret)
  const forms = [
    secret,
    encodeURIComponent(secret),
    encodeURIComponent(encodeURIComponent(secret)),
    JSON.stringify(secret).slice(1, -1),
    JSON.stringify(JSON.stringify(secret)).slice(3, -3),
    bytes.toString('hex'),
    bytes.toString('hex').toUpperCase(),
    Array.from(bytes, (byte) => `%${byte.toString(16)}`).join(''),
    ...[0, 1, 2].flatMap((shift) => alignedBase64(bytes, shift)),
  ]
  const short = forms.filter((form) => form.length <= stretchLength)
  const stretches = new Set(forms.flatMap(stretchesOf))
  return {
    name,
    findIn(text) {
      const whole = short.find((form) => text.includes(form))
      if (whole !== undefined) return whole
      for (let start = 0; start + stretchLength <= text.length; start++) {
        const stretch = text.slice(start, start + stretchLength)
        if (stretches.has(stretch)) return stretch
      }
      return undefined
    },
  }
}

// Base64 looks different at each of the three offsets; the first and last characters also depend
// on the neighbours, so they are left out.
function alignedBase64(bytes: Buffer, shift: number): string[] {
  const encoded = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64')
  const core = encoded.slice(
    Math.ceil((shift * 8) / 6),
    Math.floor(((shift + bytes.length) * 8) / 6),
  )
  return [core, core.replaceAll('+', '-').replaceAll('/', '_')]
}

const stretchLength = 12

// Of a long value a part is a leak too.
function stretchesOf(form: string): string[] {
  if (form.length <= stretchLength) return []
  return Array.from({ length: form.length - stretchLength + 1 }, (_, start) =>
    form.slice(start, start + stretchLength),
  )
}
