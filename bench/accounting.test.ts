import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cpuMicroseconds, parseCpuMicroseconds, residentBytes } from './accounting.ts'

test('user and system time are added, whatever the command is called', () => {
  const rest = 'S 1 1 1 0 -1 4194304 100 0 0 0 250 30 9 9 20 0 11 0 100 1000 200'
  assert.equal(parseCpuMicroseconds(`77 (node) ${rest}`), 2_800_000)
  assert.equal(parseCpuMicroseconds(`77 (a) b (c) ${rest}`), 2_800_000)
})

test('a line that is something else is refused', () => {
  assert.throws(() => parseCpuMicroseconds('77 (node) S 1'), /not a line/)
})

const onLinux = { skip: process.platform !== 'linux' }

test('a living process has time and memory, one that is gone has none', onLinux, async () => {
  const before = await cpuMicroseconds(process.pid)
  assert.ok(before !== undefined && before > 0)
  assert.ok((await residentBytes(process.pid)) > 1024 * 1024)
  const beyondEveryPid = 2 ** 22 + 1
  assert.equal(await cpuMicroseconds(beyondEveryPid), undefined)
})
