import { fork } from 'node:child_process'
import { once } from 'node:events'
import type { LoadReply, LoadResult, LoadTask } from './load.ts'

export interface LoadClient extends AsyncDisposable {
  run(task: LoadTask): Promise<LoadResult>
}

/** Starts the load generator in a process of its own. Each run fails on the first wrong answer. */
export function createLoadClient(): LoadClient {
  const child = fork(new URL('./load.ts', import.meta.url), { env: {}, execArgv: [] })

  return {
    async run(task) {
      const signal = AbortSignal.timeout(task.seconds * 1000 + 30_000)
      child.send(task)
      const [message] = await once(child, 'message', { signal })
      const reply: LoadReply = message
      if (reply.kind === 'failed') throw new Error(reply.message)
      return reply.result
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    },
  }
}
