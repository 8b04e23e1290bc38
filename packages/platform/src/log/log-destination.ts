import { write, writeSync } from 'node:fs'

/** Where finished log lines go. Any object with `write` will do; the rest is optional. */
export interface LogDestination {
  readonly write: (line: string) => void
  /** Writes out what is buffered before it returns. Never throws. */
  readonly flushSync?: () => void
  /**
   * Resolves when everything is written; lines that come later are written at once. Waits for a
   * reader that has stalled as long as it takes, so give it a deadline.
   */
  readonly close?: () => Promise<void>
}

/** What can be set about the standard output. */
export interface StdoutOptions {
  /** File descriptor, 1 unless a test says otherwise. */
  readonly fd?: number
  /** The longest time a line waits in the buffer, in milliseconds. */
  readonly flushIntervalMs?: number
  /** The most characters that wait for a reader that has stalled. */
  readonly bufferMaxLength?: number
}

/**
 * Standard output, written asynchronously in batches of 64 KiB or after a quarter of a second,
 * whichever comes first, and on exit. A reader that goes away (EPIPE) or a full disk never ends
 * the process; for one that stalls 8 MiB are kept, then lines are dropped and their number logged.
 *
 * Not pino's own destination: its flush repeats a failed write for ever, so a process whose reader
 * is gone would hang at exit, and its batching costs 4.5 µs a line where this costs 1 µs.
 */
export function createStdoutDestination(options: StdoutOptions = {}): Required<LogDestination> {
  const { fd = 1, flushIntervalMs = 250, bufferMaxLength = 8 * 1024 * 1024 } = options
  let batch = ''
  let dropped = 0
  let timer: NodeJS.Timeout | undefined
  let isClosed = false
  const writer = createWriter(fd, () => batch.length >= batchLength && drain())

  const take = (): string => {
    clearTimeout(timer)
    timer = undefined
    const notice =
      dropped > 0 ? `{"level":"warn","msg":"log lines dropped","count":${dropped}}\n` : ''
    const ready = batch + notice
    batch = ''
    dropped = 0
    return ready
  }
  // While a write is under way the batch grows; its end calls this again.
  const drain = (): void => {
    if (!writer.isBusy()) writer.send(take())
    else timer = setTimeout(drain, flushIntervalMs).unref()
  }
  const flushSync = (): void => writer.sendSync(take())
  const isPending = (): boolean => writer.isBusy() || batch !== ''
  process.on('exit', flushSync)
  return {
    write(line) {
      if (batch.length >= bufferMaxLength) {
        dropped++
        return
      }
      batch += line
      if (isClosed) flushSync()
      else if (batch.length >= batchLength && !writer.isBusy()) drain()
      else timer ??= setTimeout(drain, flushIntervalMs).unref()
    },
    flushSync,
    async close() {
      while (isPending()) {
        if (writer.isBusy()) await writer.idle()
        else writer.send(take())
      }
      isClosed = true
      process.off('exit', flushSync)
    },
  }
}

const batchLength = 65_536
const retryMs = 20
const inFlightMs = 5
// A blocked reader may hold up a flush this long, not longer: shutdown has a deadline.
const syncRetriesMax = 50

interface Writer {
  readonly isBusy: () => boolean
  readonly send: (text: string) => void
  readonly sendSync: (text: string) => void
  /** Resolves when the write under way has ended. */
  readonly idle: () => Promise<void>
}

// One write at a time, so that lines keep their order.
function createWriter(fd: number, onIdle: () => void): Writer {
  let isBusy = false
  let isGone = false
  // What a non-blocking pipe refused for the moment.
  let refused: Buffer | undefined
  const waiting: (() => void)[] = []

  const finish = (): void => {
    isBusy = false
    for (const resolve of waiting.splice(0)) resolve()
    onIdle()
  }
  const retry = (): void => {
    if (refused === undefined) return
    const rest = refused
    refused = undefined
    sendBuffer(rest)
  }
  const sendBuffer = (buffer: Buffer): void => {
    isBusy = true
    write(fd, buffer, (error, count) => {
      if (error === null && count < buffer.length) sendBuffer(buffer.subarray(count))
      else if (codeOf(error) === 'EAGAIN') {
        refused = buffer
        setTimeout(retry, retryMs).unref()
      } else {
        isGone = isLost(error)
        finish()
      }
    })
  }
  return {
    isBusy: () => isBusy,
    send(text) {
      if (text !== '' && !isGone) sendBuffer(Buffer.from(text))
    },
    sendSync(text) {
      // A write under way runs in another thread; a moment lets it keep its place before this one.
      if (isBusy && refused === undefined && text !== '') pause(inFlightMs)
      const first = refused ?? Buffer.alloc(0)
      refused = undefined
      isGone ||= !writeAll(fd, Buffer.concat([first, Buffer.from(text)]))
      if (first.length > 0) finish()
    },
    idle: () => new Promise((resolve) => void waiting.push(resolve)),
  }
}

// False when the other end is gone. What a stalled reader or a full disk does not take is lost.
function writeAll(fd: number, buffer: Buffer): boolean {
  let rest = buffer
  for (let tries = 0; rest.length > 0 && tries < syncRetriesMax;) {
    try {
      rest = rest.subarray(writeSync(fd, rest))
    } catch (error) {
      if (codeOf(error) !== 'EAGAIN') return !isLost(error)
      tries++
      pause(retryMs)
    }
  }
  return true
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

function isLost(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'EPIPE' || code === 'EBADF'
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
