import assert from 'node:assert/strict'
import { test } from 'node:test'
import { safePath } from './safe-path.ts'

test('a path shows words, short numbers and UUIDs, and nothing else', () => {
  const table = [
    ['/', '/'],
    ['/auth/orders', '/auth/orders'],
    ['/auth/orders?token=secret', '/auth/orders'],
    ['/auth/orders#secret', '/auth/orders'],
    ['/v1/orders/42', '/v1/orders/42'],
    [
      '/auth/orders/0198f3a2-7b1c-7def-8123-456789abcdef',
      '/auth/orders/0198f3a2-7b1c-7def-8123-456789abcdef',
    ],
    ['/change-dentist/ada%40example.com/', '/change-dentist/REDACTED/'],
    ['/auth/users/sJk29fLq0aPzX81mNv/images', '/auth/users/REDACTED/images'],
    ['/services/T012AB/B045CD/hunter2hunter2', '/services/REDACTED/REDACTED/REDACTED'],
    ['/bot123456:ABC-DEF1234/send', '/REDACTED/send'],
    ['/+4915112345678', '/REDACTED'],
    ['//evil', '//evil'],
    [`/${'a/'.repeat(600)}s3cr3t`, '/REDACTED'],
    ['*', '/REDACTED'],
    ['s3cr3t/a', '/REDACTED'],
    ['', '/REDACTED'],
  ] as const
  for (const [target, shown] of table) assert.equal(safePath(target), shown, target)
})
