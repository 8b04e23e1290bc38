/** The part of `fetch` that is used here. A dependency, so that tests can answer themselves. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>

export interface JsonAnswer {
  readonly body: unknown
  readonly headers: Headers
}

/**
 * Fetches JSON from an address that configuration (not a token) named: at most 5 s with the body,
 * no redirects, at most 512 KiB. Throws a plain Error for every other outcome than 200 with JSON.
 */
export async function fetchJson(
  fetch: Fetch,
  url: string,
  init: Omit<RequestInit, 'redirect' | 'signal'> = {},
): Promise<JsonAnswer> {
  const abort = new AbortController()
  const timer = setTimeout(() => abort.abort(new Error(`${url} took longer than 5 s`)), timeoutMs)
  try {
    const response = await fetch(url, { ...init, redirect: 'error', signal: abort.signal })
    if (response.status !== 200) {
      await response.body?.cancel()
      throw new Error(`${url} answered ${response.status}`)
    }
    const text = await readText(response, url)
    return { body: JSON.parse(text) as unknown, headers: response.headers }
  } finally {
    clearTimeout(timer)
  }
}

const timeoutMs = 5000
const bodyBytesMax = 512 * 1024

/** Counts while reading: `Content-Length` may be missing, or a lie. */
async function readText(response: Response, url: string): Promise<string> {
  const chunks: Uint8Array[] = []
  let sizeBytes = 0
  for await (const chunk of response.body ?? []) {
    sizeBytes += chunk.byteLength
    if (sizeBytes > bodyBytesMax) throw new Error(`${url} answered more than 512 KiB`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/**
 * Refuses, at start, an address that would carry keys or secrets in the clear: https only, except
 * to this machine. Throws a configuration Error that names the setting.
 */
export function assertSecureUrl(url: string, setting: string): void {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  const isSafe =
    parsed !== undefined &&
    (parsed.protocol === 'https:' || (parsed.protocol === 'http:' && isLoopback(parsed.hostname)))
  if (!isSafe) throw new Error(`${setting} must be an https address, or http on a loopback host`)
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)
}
