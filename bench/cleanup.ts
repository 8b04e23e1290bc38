/**
 * Where everything that was started is handed in. It is stopped in reverse order when the work is
 * over, when it fails, and on Ctrl-C or SIGTERM; then the process ends.
 */
export async function withCleanup(work: (stack: AsyncDisposableStack) => Promise<void>) {
  const stack = new AsyncDisposableStack()
  let interrupted = false
  const interrupt = () => {
    // npm hands the signal on a second time.
    if (interrupted) return
    interrupted = true
    process.stdout.write('\nStopping everything that was started.\n')
    void stack.disposeAsync().finally(() => process.exit(130))
  }
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', interrupt)
  try {
    await work(stack)
  } catch (error) {
    // What fails after an interruption fails because things were stopped under it.
    if (!interrupted) throw error
    await new Promise(() => {})
  } finally {
    if (!interrupted) await stack.disposeAsync()
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
  }
}
