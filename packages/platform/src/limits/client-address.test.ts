import assert from 'node:assert/strict'
import { BlockList } from 'node:net'
import { describe, test } from 'node:test'
import {
  array,
  assert as holds,
  boolean,
  constant,
  integer,
  oneof,
  property,
  tuple,
} from 'fast-check'
import { addressKey } from './client-address.ts'
import { createMemoryLimitStore } from './memory-limit-store.ts'
import { createFakeClock } from '../testing/fake-clock.ts'

const keys: [address: string | undefined, key: string][] = [
  ['192.0.2.1', '192.0.2.1'],
  ['255.255.255.255', '255.255.255.255'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['::FFFF:192.0.2.1', '192.0.2.1'],
  ['::ffff:c000:201', '192.0.2.1'],
  ['::ffff:C000:0201', '192.0.2.1'],
  ['0:0:0:0:0:ffff:c000:0201', '192.0.2.1'],
  ['0000:0000::ffff:192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1%eth0', '192.0.2.1'],
  ['::ffff:c000:201%1', '192.0.2.1'],
  ['2001:db8:0:1::', '2001:db8:0:1::/64'],
  ['2001:db8::1:0:0:0:1', '2001:db8:0:1::/64'],
  ['2001:DB8:0000:0001:ffff:ffff:ffff:ffff', '2001:db8:0:1::/64'],
  ['2001:db8:0:1:1:2:192.0.2.1', '2001:db8:0:1::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['fe80::1%25', 'fe80:0:0:0::/64'],
  ['2001:db8:0:1::1%a:b:c:d', '2001:db8:0:1::/64'],
  ['2001:db8:0:1::1%1.2.3.4', '2001:db8:0:1::/64'],
  ['::1', '0:0:0:0::/64'],
  ['::', '0:0:0:0::/64'],
  ['1::', '1:0:0:0::/64'],
  ['::ffff:0:192.0.2.1', '0:0:0:0::/64'],
  ['1::ffff:192.0.2.1', '1:0:0:0::/64'],
  [undefined, 'unknown'],
  ['', 'unknown'],
  ['unknown', 'unknown'],
  ['_hidden', 'unknown'],
  ['192.0.2.1:8080', 'unknown'],
  ['192.0.2.01', 'unknown'],
  ['192.0.2', 'unknown'],
  ['3221225985', 'unknown'],
  ['0xc0000201', 'unknown'],
  [' 192.0.2.1', 'unknown'],
  ['192.0.2.1, 192.0.2.2', 'unknown'],
  ['[2001:db8::1]', 'unknown'],
  ['2001:db8::1::', 'unknown'],
  ['2001:db8::12345', 'unknown'],
  ['2001:db8::1/64', 'unknown'],
  ['::ffff:192.0.2.256', 'unknown'],
  [`${'1:'.repeat(5000)}1`, 'unknown'],
]

/** Each a way in which one and the same address is really written. */
const spellings = [
  '2001:db8::8:800:200c:417a',
  '2001:DB8::8:800:200C:417A',
  '2001:0db8:0000:0000:0008:0800:200c:417a',
  '2001:db8:0:0:8:800:200c:417a',
  '2001:db8:0::8:800:200c:417a',
  '2001:db8::0:8:800:200c:417a',
  '2001:db8::8:800:32.12.65.122',
  '2001:db8::8:800:200c:417a%en0',
]

describe('the key of a client address', () => {
  for (const [address, key] of keys) {
    test(`${String(address).slice(0, 50)} counts as ${key}`, () => {
      assert.equal(addressKey(address), key)
    })
  }

  test('any spelling of any address gives the key of its own /64, and no other', () => {
    const group = integer({ min: 0, max: 0xffff })
    const address = array(oneof(constant(0), group), { minLength: 8, maxLength: 8 })
    holds(
      property(address, boolean(), boolean(), (groups, isUpper, isPadded) => {
        const spelled = groups.map((part) => part.toString(16).padStart(isPadded ? 4 : 1, '0'))
        const full = spelled.join(':')
        const key = addressKey(isUpper ? full.toUpperCase() : full)
        // The URL parser writes addresses as RFC 5952 does, by code that is not ours.
        const short = new URL(`http://[${full}]`).hostname.slice(1, -1)
        assert.equal(addressKey(short), key)
        if (!key.includes(':')) return
        const network = new BlockList()
        network.addSubnet(key.replace('/64', ''), 64, 'ipv6')
        assert.ok(network.check(full, 'ipv6'))
      }),
    )
  })

  test('any IPv4 address and its mapped spellings give the IPv4 address', () => {
    const byte = integer({ min: 0, max: 255 })
    holds(
      property(tuple(byte, byte, byte, byte), ([a, b, c, d]) => {
        const plain = [a, b, c, d].join('.')
        const hex = `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
        for (const address of [plain, `::ffff:${plain}`, `::ffff:${hex}`, `0::FFFF:${hex}`]) {
          assert.equal(addressKey(address), plain)
        }
      }),
    )
  })

  test('1,000 tries from one /64 and one address in 8 spellings are one bucket each', () => {
    const store = createMemoryLimitStore({ clock: createFakeClock() })
    const rule = { name: 'sign-in', quota: 10, windowSeconds: 60 }
    const rotating = Array.from({ length: 1000 }, (_, host) => {
      const suffix = (host * 7919).toString(16).padStart(8, '0')
      return `2001:db8:1:2:abcd:0:${suffix.slice(0, 4)}:${suffix.slice(4)}`
    })
    assert.equal(new Set(rotating).size, 1000)
    const passedOf = (addresses: readonly string[]) =>
      addresses.filter((address) => store.take(addressKey(address), rule).allowed).length
    assert.equal(passedOf(rotating), 10)
    assert.equal(store.keyCount(), 1)

    assert.equal(new Set(spellings).size, 8)
    assert.equal(passedOf([...spellings, ...spellings]), 10)
    assert.equal(store.keyCount(), 2)
  })
})
