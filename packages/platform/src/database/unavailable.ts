/**
 * Whether an error means "the database cannot serve right now" rather than a bug: lost or refused
 * connections, a restart, no free connection slot, a statement or lock timeout, a full disk, or a
 * conflict that survived every retry. Such requests answer 503 and may be repeated.
 */
export function isDatabaseUnavailable(error: unknown): boolean {
  const code = codeOf(error)
  return code !== undefined && (codes.has(code) || code.startsWith('08'))
}

function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  if ('code' in error && typeof error.code === 'string') return error.code
  // Node reports a refused connection to a name with two addresses as one AggregateError.
  if (error instanceof AggregateError) return codeOf(error.errors[0])
  return undefined
}

const codes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  'CONNECT_TIMEOUT',
  'CONNECTION_SILENT',
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now
  '57014', // query_canceled, by statement_timeout
  '53100', // disk_full
  '53200', // out_of_memory
  '53300', // too_many_connections
  '55P03', // lock_not_available
  '25P03', // idle_in_transaction_session_timeout
  '40001', // serialization_failure
  '40P01', // deadlock_detected
])
