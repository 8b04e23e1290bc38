/**
 * Removes credentials that are known by their own shape, whatever stands around them: PEM keys,
 * JWTs, vendor keys, `Bearer`-like headers and the user-info of URLs.
 */
export function removeKnownFormats(text: string): string {
  let clean = text
  if (clean.includes('-----BEGIN')) clean = clean.replace(pemKey, '[redacted]')
  if (clean.includes('://')) {
    clean = clean.replace(webUserInfo, '$1[redacted]@').replace(serverUserInfo, '$1[redacted]@')
  }
  clean = clean.replace(vendorKey, '[redacted]')
  clean = clean.replace(scheme, (match, name: string, gap: string, value: string) =>
    isWord(value) ? match : `${name}${gap}[redacted]`,
  )
  return removeSpokenCodes(clean)
}

/** True for a plain word such as `expired`, which follows `Bearer` in prose and is no credential. */
export function isWord(value: string): boolean {
  return /^[A-Za-z]?[a-z]{0,15}[,.;:)]?$/.test(value)
}

/**
 * Hides the values that PostgreSQL quotes from a row: `Key (email)=(…) already exists`,
 * `Failing row contains (…)`, `COPY orders, line 1: "…"`.
 */
export function removeRowValues(detail: string): string {
  return detail
    .replace(
      /\)=\([\s\S]*?(\) (?:already exists|is not present|is still|conflicts)|$)/g,
      ')=([redacted]$1',
    )
    .replace(/(row contains \()[\s\S]*/, '$1[redacted])')
    .replace(/(: ")[\s\S]*(")/, '$1[redacted]$2')
}

/** Replaces the string literals of an SQL text with `'?'`, so that only its shape is logged. */
export function removeSqlLiterals(query: string): string {
  return query.replace(/'(?:[^']|'')*(?:'|$)/g, "'?'")
}

const pemKey =
  /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,20}-----[\s\S]*?(?:-----END [A-Z0-9 ]{0,60}-----|$)/g

// In http and its kin the authority ends at the first slash; the URLs of databases are often
// written with an unescaped slash or @ in the password, so there everything up to the last @ goes.
const webUserInfo = /\b((?:https?|wss?|ftps?):\/\/)[^\s/?#"'<>]{1,1024}@/gi
const serverUserInfo =
  /(?<![a-z0-9+.-])((?!https?:|wss?:|ftps?:)[a-z][a-z0-9+.-]{1,20}:\/\/)(?:[^\s:@/?#"'<>]{0,256}:[^\s"'<>]{0,1024}|[^\s:@/?#"'<>]{1,512})@/gi

const vendorKey = new RegExp(
  [
    // JWS, JWE and cut-off JWTs: base64url of `{"`.
    'eyJ[\\w-]{5,}(?:\\.[\\w-]*){0,4}',
    // This server's own API keys.
    'qk_[\\w-]{6,}',
    '\\b(?:sk|rk|pk)_(?:live|test)_\\w{4,}',
    '\\bsk[-_](?:[A-Za-z0-9]+[-_]){0,3}[A-Za-z0-9]{12,}',
    '\\bSG\\.[\\w-]{6,}(?:\\.[\\w-]*)?',
    '\\b(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{12,}',
    '\\bAIza[\\w-]{20,}',
    '\\bya29\\.[\\w-]+',
    '\\b1//0[\\w-]{10,}',
    '\\bpat-[a-z]{2}\\d-[0-9a-f-]{16,}',
    '\\b(?:whsec|gh[opsur]|github_pat|glpat|npm|xox[abeprs]|shp(?:at|ss)|hf|sb_secret|sb_publishable|os_v2_(?:app|org))[-_][\\w-]{10,}',
    // FCM registration tokens.
    '[\\w-]{8,64}:APA91[\\w-]{20,}',
  ].join('|'),
  'g',
)

const scheme =
  /\b(Bearer|Basic|Api-?Key|Digest|Negotiate|DPoP|AWS4-HMAC-SHA256)((?:\s|\+|%20){1,3})([^\s"'<>,;&]+)/gi

const spokenCode =
  /\b((?:code|otp|pin|passcode|password)\b[^\n\d]{0,24}?)(?<![\w.:-])\d{6,8}(?!\w|[.:-]\d)/gi
const codeFirst = /(?<![\w.:-])\d{4,8}(?= is your )/g

// The sentence of an SMS or a mail: `Your code is 483920`, `483920 is your Quayside code`.
function removeSpokenCodes(text: string): string {
  return text.replace(spokenCode, '$1[redacted]').replace(codeFirst, '[redacted]')
}
