import { connect, type Socket } from 'node:net'
import { percentileOf } from './statistics.ts'

// The load generator: a process of its own that the harness talks to over IPC, so that its CPU
// time is in nobody's account. A closed loop over keep-alive connections, without a library,
// because on two cores a heavy client would take the time from the server it measures.

export interface LoadTask {
  readonly port: number
  readonly seconds: number
  readonly connections: number
  /** Sent in turn by each connection, each with the length its body must have. */
  readonly requests: readonly { readonly head: string; readonly bodyLength: number }[]
}

export type LoadReply =
  | { readonly kind: 'done'; readonly result: LoadResult }
  | { readonly kind: 'failed'; readonly message: string }

export interface LoadResult {
  readonly requests: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
}

process.on('message', (task: LoadTask) => {
  void answer(task)
})
process.on('disconnect', () => process.exit(0))

async function answer(task: LoadTask): Promise<void> {
  let reply: LoadReply
  try {
    reply = { kind: 'done', result: await run(task) }
  } catch (error) {
    reply = { kind: 'failed', message: error instanceof Error ? error.message : String(error) }
  }
  process.send?.(reply)
}

async function run(task: LoadTask): Promise<LoadResult> {
  const latenciesMs: number[] = []
  const sockets = await Promise.all(
    Array.from({ length: task.connections }, () => openSocket(task.port)),
  )
  try {
    const startedMs = performance.now()
    const deadlineMs = startedMs + task.seconds * 1000
    const lanes = sockets.map((socket, lane) =>
      driveConnection({ socket, task, firstRequest: lane, deadlineMs, latenciesMs }),
    )
    await Promise.all(lanes)
    const seconds = (performance.now() - startedMs) / 1000
    const sorted = latenciesMs.toSorted((left, right) => left - right)
    const p50Ms = percentileOf(sorted, 0.5)
    return { requests: sorted.length, seconds, p50Ms, p99Ms: percentileOf(sorted, 0.99) }
  } finally {
    for (const socket of sockets) socket.destroy()
  }
}

function openSocket(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
  })
}

interface Lane {
  readonly socket: Socket
  readonly task: LoadTask
  readonly firstRequest: number
  readonly deadlineMs: number
  readonly latenciesMs: number[]
}

function driveConnection({ socket, task, firstRequest, deadlineMs, latenciesMs }: Lane) {
  return new Promise<void>((resolve, reject) => {
    let turn = firstRequest
    let sentMs = 0
    let pending: Buffer | undefined

    const current = () => {
      const request = task.requests[turn % task.requests.length]
      if (request === undefined) throw new Error('There is nothing to send.')
      return request
    }
    const send = () => {
      sentMs = performance.now()
      socket.write(current().head)
    }
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('The server closed a connection under load.')))
    socket.on('data', (chunk) => {
      const bytes = pending === undefined ? chunk : Buffer.concat([pending, chunk])
      const outcome = readResponse(bytes, current().bodyLength)
      if (outcome === 'incomplete') {
        pending = bytes
        return
      }
      if (outcome !== 'right') return reject(new Error(outcome.wrong))
      pending = undefined
      const nowMs = performance.now()
      latenciesMs.push(nowMs - sentMs)
      if (nowMs >= deadlineMs) return resolve()
      turn += 1
      send()
    })
    send()
  })
}

type Outcome = 'right' | 'incomplete' | { readonly wrong: string }

function readResponse(bytes: Buffer, bodyLength: number): Outcome {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd === -1) return 'incomplete'
  const head = bytes.toString('latin1', 0, headEnd)
  if (!head.startsWith('HTTP/1.1 200')) return { wrong: `Answered under load: ${bytes.toString()}` }
  const declared = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1])
  if (declared !== bodyLength) {
    return { wrong: `A body of ${bodyLength} bytes was due, ${declared} were announced.` }
  }
  const due = headEnd + 4 + bodyLength
  if (bytes.length < due) return 'incomplete'
  return bytes.length === due ? 'right' : { wrong: 'More bytes came than were announced.' }
}
