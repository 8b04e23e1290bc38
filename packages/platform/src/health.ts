/** A part that the server needs: its name, and a check that rejects when it cannot be used. */
export interface Part {
  readonly name: string
  readonly check: () => Promise<unknown>
}

export type Health = ReturnType<typeof createHealth>

/**
 * Readiness: every part answers within two seconds, and the server is not on its way out. A part
 * that answers late is as bad as one that does not, because a load balancer is waiting.
 */
export function createHealth(parts: readonly Part[]) {
  let draining = false
  return {
    /** From here on the server reports itself as not ready, so that no new work is sent to it. */
    drain(): void {
      draining = true
    },
    isDraining: () => draining,
    async ready(): Promise<{ status: 'ok' | 'unavailable'; parts: Record<string, PartState> }> {
      const states = await Promise.all(
        parts.map(async (part) => [part.name, await stateOf(part)] as const),
      )
      const ok = !draining && states.every(([, state]) => state === 'ok')
      return { status: ok ? 'ok' : 'unavailable', parts: Object.fromEntries(states) }
    },
  }
}

export type PartState = 'ok' | 'unavailable'

async function stateOf(part: Part): Promise<PartState> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<PartState>((resolve) => {
    timer = setTimeout(() => resolve('unavailable'), 2_000)
  })
  try {
    return await Promise.race([part.check().then((): PartState => 'ok'), late])
  } catch {
    return 'unavailable'
  } finally {
    clearTimeout(timer)
  }
}
