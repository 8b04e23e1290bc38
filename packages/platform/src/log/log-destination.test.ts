import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { createStdoutDestination } from './log-destination.ts'

function openFile(context: TestContext): { fd: number; read: () => string } {
  const folder = mkdtempSync(join(tmpdir(), 'quayside-log-'))
  const path = join(folder, 'out')
  const fd = openSync(path, 'a')
  context.after(() => {
    closeSync(fd)
    rmSync(folder, { recursive: true })
  })
  return { fd, read: () => readFileSync(path, 'utf8') }
}

test('lines come out complete and in order, also those written while a write is under way', async (context) => {
  const { fd, read } = openFile(context)
  const destination = createStdoutDestination({ fd })
  let expected = ''
  for (let line = 0; line < 3000; line++) {
    const text = `line ${line} äöü\n`
    expected += text
    destination.write(text)
    if (line % 100 === 0) await delay(0)
  }
  await destination.close()
  assert.equal(read(), expected)
})

test('a single line appears without any further line', async (context) => {
  const { fd, read } = openFile(context)
  const destination = createStdoutDestination({ fd, flushIntervalMs: 5 })
  destination.write('alone\n')
  assert.equal(read(), '')
  for (let tries = 0; read() === '' && tries < 500; tries++) await delay(10)
  assert.equal(read(), 'alone\n')
  await destination.close()
})

test('a flush writes before it returns, and a line after the close is not lost', async (context) => {
  const { fd, read } = openFile(context)
  const listeners = process.listenerCount('exit')
  const destination = createStdoutDestination({ fd })
  destination.write('one\n')
  destination.flushSync()
  assert.equal(read(), 'one\n')
  await destination.close()
  destination.write('two\n')
  assert.equal(read(), 'one\ntwo\n')
  assert.equal(process.listenerCount('exit'), listeners)
})

test('a reader that does not keep up costs lines, not memory, and the loss is reported', async (context) => {
  const { fd, read } = openFile(context)
  const destination = createStdoutDestination({ fd, bufferMaxLength: 10_000 })
  const line = `${'x'.repeat(99)}\n`
  // All in one turn of the loop: the first write cannot finish, so the rest has to wait.
  for (let count = 0; count < 1000; count++) destination.write(line)
  await destination.close()
  const written = read().split('\n')
  const notice = JSON.parse(written.find((text) => text.startsWith('{')) ?? '{}') as {
    count?: number
  }
  const kept = written.filter((text) => text.startsWith('x')).length
  assert.ok(kept < 200, String(kept))
  assert.equal(kept + (notice.count ?? 0), 1000)
})

test('a full pipe is waited for without blocking, and the close waits until all is written', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'quayside-log-'))
  const path = join(folder, 'pipe')
  execFileSync('mkfifo', [path])
  // Open for both, since opening one side alone waits for the other.
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  context.after(() => {
    closeSync(fd)
    rmSync(folder, { recursive: true })
  })
  const destination = createStdoutDestination({ fd })
  let expected = ''
  for (let line = 0; line < 30_000; line++) {
    expected += `line ${line}\n`
    destination.write(`line ${line}\n`)
  }
  let isClosed = false
  const closing = destination.close().then(() => (isClosed = true))
  for (let turn = 0; turn < 20; turn++) await delay(1)
  assert.equal(isClosed, false, 'a pipe holds 64 KiB, so this cannot be written yet')
  const buffer = Buffer.alloc(65_536)
  let received = ''
  while (received.length < expected.length) {
    try {
      received += buffer.toString('latin1', 0, readSync(fd, buffer))
    } catch {
      await delay(1)
    }
  }
  await closing
  assert.equal(received, expected)
})

test('a descriptor that refuses to be written to is no error for the caller', async () => {
  const fd = openSync('/dev/null', 'r')
  const destination = createStdoutDestination({ fd })
  for (let count = 0; count < 100; count++) destination.write(`${'x'.repeat(99)}\n`)
  await destination.close()
  destination.write('late\n')
  destination.flushSync()
  closeSync(fd)
})
