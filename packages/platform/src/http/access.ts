import type { FastifyRequest } from 'fastify'

/**
 * Who may call a route. Every route declares one of these, and the server refuses to start when
 * one does not, so that no door is open by accident.
 */
export type Access =
  | { readonly kind: 'user'; readonly roles: readonly string[] }
  | { readonly kind: 'service'; readonly scopes: readonly string[] }
  | { readonly kind: 'public' }
  | { readonly kind: 'signed'; readonly verifier: SignatureVerifier }

/** Checks that a webhook really comes from its sender, over the bytes as they arrived. */
export interface SignatureVerifier {
  readonly name: string
  /** Answers the sender's name for the log, or undefined to refuse with 401. */
  verify(request: FastifyRequest, rawBody: Buffer): Promise<string | undefined> | string | undefined
}

/** A person with a valid token; with `roles`, one who has at least one of them. */
export function userAccess({ roles = [] }: { roles?: readonly string[] } = {}): Access {
  return { kind: 'user', roles }
}

/** A service with an API key that carries every one of `scopes`. */
export function serviceAccess(...scopes: readonly [string, ...string[]]): Access {
  return { kind: 'service', scopes }
}

/** Anybody. */
export function publicAccess(): Access {
  return { kind: 'public' }
}

/** A sender whose signature `verifier` accepts. */
export function signedAccess(verifier: SignatureVerifier): Access {
  return { kind: 'signed', verifier }
}

/** One line of the route list: `GET /auth/orders user`. */
export function describeAccess(access: Access): string {
  switch (access.kind) {
    case 'user':
      return access.roles.length > 0 ? `user role:${access.roles.join('|')}` : 'user'
    case 'service':
      return `service ${access.scopes.join(' ')}`
    case 'signed':
      return `signed ${access.verifier.name}`
    case 'public':
      return 'public'
  }
}

/**
 * The prefix of a path shows who may come in; a route whose declaration says otherwise is a
 * mistake. The four protocols mix kinds under one prefix, so there each route speaks for itself.
 */
export function assertPrefixFits(path: string, access: Access): void {
  if (ownWord.some((prefix) => path === prefix || path.startsWith(`${prefix}/`))) return
  const rule = prefixes.find(([prefix]) => path.startsWith(prefix))
  if (!rule) throw new Error(`${path} must begin with /auth/, /internal/ or /public/.`)
  if (!rule[1].includes(access.kind))
    throw new Error(`${path} declares ${access.kind}; ${rule[0]} is for ${rule[1].join(' or ')}.`)
}

const prefixes: readonly (readonly [string, readonly Access['kind'][]])[] = [
  ['/auth/', ['user']],
  ['/internal/', ['service']],
  ['/public/', ['public', 'signed']],
]

const ownWord = [
  '/auth/v1',
  '/storage/v1',
  '/sync',
  '/session',
  '/health',
  '/metrics',
  '/openapi.json',
  '/docs',
]
