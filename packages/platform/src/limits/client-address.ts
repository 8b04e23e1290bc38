import { isIPv4, isIPv6 } from 'node:net'

/**
 * The part of a client's address that limits are counted by: an IPv4 address itself, an IPv6
 * address its /64, because one line of one customer has 2^64 addresses to change between
 * (CVE-2026-45364). An IPv4-mapped IPv6 address is its IPv4 address. All spellings of an address
 * give one key, and everything that is no address shares the key `unknown`.
 */
export function addressKey(address: string | undefined): string {
  if (address === undefined) return 'unknown'
  if (isIPv4(address)) return address
  // What a dual-stack socket reports for an IPv4 client; the general way gives the same.
  if (address.startsWith('::ffff:')) {
    const mapped = address.slice('::ffff:'.length)
    if (isIPv4(mapped)) return mapped
  }
  return isIPv6(address) ? ipv6Key(groupsOf(address)) : 'unknown'
}

function ipv6Key(groups: readonly number[]): string {
  const network = groups.slice(0, 4)
  const [e, f, g = 0, h = 0] = groups.slice(4)
  // RFC 4291 section 2.5.5.2: ::ffff:0:0/96 holds the IPv4 addresses.
  const isMapped = e === 0 && f === 0xffff && network.every((group) => group === 0)
  if (isMapped) return `${g >> 8}.${g & 255}.${h >> 8}.${h & 255}`
  return `${network.map((group) => group.toString(16)).join(':')}::/64`
}

/**
 * The eight 16-bit groups of a valid IPv6 address (RFC 4291 section 2.2), read in one pass: phones
 * mostly come over IPv6, and this runs for each request; `split` and `parseInt` cost a multiple.
 */
function groupsOf(address: string): number[] {
  const groups: number[] = []
  let gapAt = -1
  let value = 0
  let digits = 0
  for (let at = 0; at < address.length; at += 1) {
    const code = address.charCodeAt(at)
    if (code === percent) break
    if (code === dot) return withGap([...groups, ...dottedGroups(address, at - digits)], gapAt)
    if (code === colon) {
      if (digits > 0) groups.push(value)
      else gapAt = groups.length
      value = 0
      digits = 0
    } else {
      value = value * 16 + hexDigit(code)
      digits += 1
    }
  }
  if (digits > 0) groups.push(value)
  return withGap(groups, gapAt)
}

const percent = 0x25
const dot = 0x2e
const colon = 0x3a

function hexDigit(code: number): number {
  return code < 0x40 ? code - 0x30 : (code | 0x20) - 0x57
}

function dottedGroups(address: string, from: number): [number, number] {
  // `parseInt` leaves a zone after the last number aside.
  const [a = 0, b = 0, c = 0, d = 0] = address
    .slice(from)
    .split('.')
    .map((part) => Number.parseInt(part, 10))
  return [a * 256 + b, c * 256 + d]
}

function withGap(groups: number[], gapAt: number): number[] {
  if (gapAt === -1) return groups
  const zeros = [0, 0, 0, 0, 0, 0, 0, 0].slice(groups.length)
  return [...groups.slice(0, gapAt), ...zeros, ...groups.slice(gapAt)]
}
