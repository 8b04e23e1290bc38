import type { Access } from './access.ts'

/** What is known of a route before its first request, so that no request has to work it out. */
export interface RouteState {
  readonly method: string
  /** The pattern, for example `/auth/orders/:id`. */
  readonly pattern: string
  readonly access: Access
  /** Records one answered request, in seconds. */
  readonly observe: (status: number, seconds: number) => void
}
