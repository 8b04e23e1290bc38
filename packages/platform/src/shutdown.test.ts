import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { describe, test, type TestContext } from 'node:test'

const moduleUrl = new URL('shutdown.ts', import.meta.url).href

/** A small process that stops on signals; `hooks` are its `drain` and `close`. */
async function startFixture(t: TestContext, hooks: string, then = '') {
  const script = `
    import { stopOnSignals } from ${JSON.stringify(moduleUrl)}
    const say = (line) => console.log(line)
    const logged = (...parts) => say('log: ' + parts.at(-1))
    stopOnSignals({
      log: { info: logged, error: logged, fatal: logged },
      drain: () => say('drain'),
      close: async () => say('close'),
      drainMs: 0,
      ${hooks}
    })
    setInterval(() => {}, 1_000)
    ${then}
    say('ready')`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  const said: string[] = []
  const waiting = new Map<string, () => void>()
  const lines = createInterface({ input: child.stdout })
  lines.on('line', (line) => {
    said.push(line)
    waiting.get(line)?.()
  })
  const heard = async (line: string) => {
    if (!said.includes(line)) await new Promise<void>((resolve) => void waiting.set(line, resolve))
  }
  await heard('ready')
  return {
    heard,
    said: () => said.filter((line) => line !== 'ready'),
    signal: (signal: NodeJS.Signals) => child.kill(signal),
    async exitCode(): Promise<number | null> {
      const [[code]] = await Promise.all([exited, once(lines, 'close')])
      return code as number | null
    },
  }
}

const never = 'new Promise(() => {})'

describe('stopping on signals', () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    test(`${signal} drains, closes, and ends with code 0`, async (t) => {
      const fixture = await startFixture(t, '')
      fixture.signal(signal)
      assert.equal(await fixture.exitCode(), 0)
      assert.deepEqual(fixture.said(), ['log: stopping', 'drain', 'close'])
    })

  test('SIGTERM goes on serving for the draining time, SIGINT does not', async (t) => {
    const patient = `drainMs: 3_600_000, drain: () => say('drain')`
    const terminal = await startFixture(t, patient)
    terminal.signal('SIGINT')
    assert.equal(await terminal.exitCode(), 0)
    assert.deepEqual(terminal.said(), ['log: stopping', 'drain', 'close'])

    const orchestrated = await startFixture(t, `${patient}, deadlineMs: 300`)
    orchestrated.signal('SIGTERM')
    assert.equal(await orchestrated.exitCode(), 1)
    assert.deepEqual(orchestrated.said(), ['log: stopping', 'drain', 'log: stopping took too long'])
  })

  test('something that never closes cannot hold the process beyond the deadline', async (t) => {
    const fixture = await startFixture(t, `close: () => ${never}, deadlineMs: 200`)
    fixture.signal('SIGTERM')
    assert.equal(await fixture.exitCode(), 1)
    assert.deepEqual(fixture.said(), ['log: stopping', 'drain', 'log: stopping took too long'])
  })

  test('a second signal ends the process at once', async (t) => {
    for (const second of ['SIGTERM', 'SIGINT'] as const) {
      const fixture = await startFixture(t, `close: () => ${never}`)
      fixture.signal('SIGTERM')
      await fixture.heard('drain')
      fixture.signal(second)
      assert.equal(await fixture.exitCode(), 1)
    }
  })

  test('a failure to close is logged and ends with code 1', async (t) => {
    const fixture = await startFixture(t, `close: async () => { throw new Error('stuck') }`)
    fixture.signal('SIGINT')
    assert.equal(await fixture.exitCode(), 1)
    assert.deepEqual(fixture.said(), ['log: stopping', 'drain', 'log: stopping failed'])
  })

  test('a failure to drain is logged and ends with code 1 too', async (t) => {
    const fixture = await startFixture(t, `drain: () => { throw new Error('broken') }`)
    fixture.signal('SIGINT')
    assert.equal(await fixture.exitCode(), 1)
    assert.deepEqual(fixture.said(), ['log: stopping', 'log: stopping failed'])
  })

  test('an error that nobody caught is logged, and the process lives', async (t) => {
    const fixture = await startFixture(
      t,
      '',
      `setTimeout(() => { throw new Error('thrown') }, 1)
       void Promise.reject(new Error('rejected'))`,
    )
    await fixture.heard('log: uncaught exception')
    await fixture.heard('log: unhandled rejection')
    fixture.signal('SIGINT')
    assert.equal(await fixture.exitCode(), 0)
  })
})
