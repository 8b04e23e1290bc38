/** Masks every e-mail address and phone number inside a text. */
export function maskContacts(text: string): string {
  let masked = text
  if (masked.includes('@')) masked = masked.replace(emailAddress, maskEmail)
  if (fourDigits.test(masked)) {
    for (const pattern of phoneNumbers) masked = masked.replace(pattern, maskPhone)
  }
  return masked
}

/** `anna@example.com` → `a***@e***.com`: enough to recognise one's own, not to write to. */
export function maskEmail(address: string): string {
  const at = address.lastIndexOf('@')
  const dot = address.lastIndexOf('.')
  const end = dot > at ? address.slice(dot) : ''
  return `${firstLetter(address)}***@${firstLetter(address.slice(at + 1))}***${end}`
}

/** `+49 151 1234 5678` → `***78`. A text with fewer than four digits is hidden whole. */
export function maskPhone(number: string): string {
  const digits = number.replace(/\D/g, '')
  return digits.length < 4 && !number.startsWith('***') ? '***' : `***${digits.slice(-2)}`
}

/** Whether a text contains an e-mail address or a phone number. */
export function holdsContact(text: string): boolean {
  return maskContacts(text) !== text
}

// Each pattern is linear: one start per word (the lookbehind), bounded repeats, and neighbouring
// repeats that share no character.
const emailAddress =
  /(?<![\p{L}\p{N}._+%-])[\p{L}\p{N}._+%-]{1,320}@(?:localhost\b|(?:[\p{L}\p{N}-]{1,63}\.){1,8}(?:xn--[a-z0-9-]{2,59}|\p{L}{2,24}))/gu

const phoneNumbers = [
  // International, with or without separators: +4915112345678, +1 (415) 555-2671.
  /(?<![\w+])\+(?:[1-9](?:[\s().\-/]{0,2}\d){6,14})(?!\d)/g,
  // International with the 00 prefix, and national with the trunk 0: 01511234567.
  /(?<![\w.-])00[1-9]\d{8,13}(?!\w)/g,
  /(?<![\w.-])0[1-9]\d{8,10}(?!\w)/g,
  // National with separators: (415) 555-2671, 415-555-2671, 1-415-555-2671, 020 7946 0958.
  /(?<!\w)\(0?\d{2,5}\)[ \-./]{0,2}\d{3,4}[ \-.]?\d{3,5}(?!\w)/g,
  /(?<![\w.-])(?:1[-. ])?\d{3}[-. ]\d{3}[-. ]\d{4}(?![\w-])/g,
  /(?<![\w.:-])0\d{2,4}[ /-]\d{3,4}[ -]?\d{3,5}(?![\w:-])/g,
]
const fourDigits = /\d[\d\s().\-/]*\d/

function firstLetter(text: string): string {
  return String.fromCodePoint(text.codePointAt(0) ?? 42)
}
