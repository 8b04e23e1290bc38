import type { FastifyReply, FastifyRequest } from 'fastify'
import { commonErrors } from '../errors.ts'
import type { SignatureVerifier } from './access.ts'

/**
 * The hook of `signed` routes: checks the sender's signature over the bytes as they arrived. It
 * runs after the body was read and before the handler, and refuses when there were no bytes to
 * check.
 */
export function checkSignature(verifier: SignatureVerifier) {
  return async function verifySignature(
    request: FastifyRequest,
    _reply: FastifyReply,
  ): Promise<void> {
    const sender = request.rawBody && (await verifier.verify(request, request.rawBody))
    if (!sender) throw commonErrors.unauthenticated()
    request.principal = {
      userId: `${verifier.name}:${sender}`,
      subject: sender,
      issuer: verifier.name,
      roles: [],
      scopes: [],
      assurance: 'aal1',
      claims: {},
      via: 'signature',
    }
  }
}
