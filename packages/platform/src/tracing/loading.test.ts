import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'

const run = promisify(execFile)

test('a server that does not trace loads nothing of OpenTelemetry', async () => {
  const files = ['tracing.ts', 'request-tracing.ts', 'traced-database.ts', '../app.ts']
  // prom-client asks for the API package, which without an SDK does nothing.
  assert.deepEqual(
    (await packagesOf(files)).filter((name) => name !== 'api'),
    [],
  )
  assert.deepEqual(await packagesOf(files.slice(0, 3)), [])
})

test('the same look at the tracing itself finds OpenTelemetry', async () => {
  const loaded = await packagesOf(['open-telemetry.ts'])
  for (const name of ['sdk-trace', 'exporter-trace-otlp-http', 'resources'])
    assert.ok(loaded.includes(name), name)
})

/** The packages of OpenTelemetry that importing these files loads, in a process of its own. */
async function packagesOf(files: readonly string[]): Promise<string[]> {
  const script = `
    import { registerHooks } from 'node:module'
    const loaded = new Set()
    registerHooks({
      load(url, context, next) {
        const name = /node_modules\\/@opentelemetry\\/([^/]+)/.exec(url)?.[1]
        if (name) loaded.add(name)
        return next(url, context)
      },
    })
    for (const file of JSON.parse(process.argv[1])) await import(file)
    console.log(JSON.stringify([...loaded]))
    process.exit()`
  const urls = JSON.stringify(files.map((file) => new URL(file, import.meta.url).href))
  const args = ['--conditions=@quayside/source', '--input-type=module', '--eval', script, urls]
  const { stdout } = await run(process.execPath, args)
  return JSON.parse(stdout) as string[]
}
