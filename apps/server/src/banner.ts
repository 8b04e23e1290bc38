import type { Config } from './config.ts'
import type { RunningServer } from './server.ts'
import { version } from './version.ts'

/** What somebody who has just started the server wants to know. */
export function banner({ url, parts, app }: RunningServer, config: Config): string {
  const address = url.replace('[::]', 'localhost').replace('0.0.0.0', '127.0.0.1')
  const lines = [
    '',
    `  Quayside ${version} is listening on ${address}`,
    '',
    ...parts.map(([name, runsOn]) => `  ${name.padEnd(10)} ${runsOn}`),
    `  ${'routes'.padEnd(10)} ${app.routes.length}, described at ${address}/docs`,
    '',
    `  Try:  curl ${address}/health/ready`,
  ]
  if (config.COGNITO_TRUST_GATEWAY)
    lines.push(
      '',
      '  WARNING: gateway mode. Token signatures are NOT checked here. Only the gateway may be able',
      '  to reach this server; each request of a user must carry GATEWAY_SHARED_SECRET in X-Gateway-Secret.',
    )
  if (config.FIREBASE_AUTH_EMULATOR_HOST)
    lines.push('', '  WARNING: unsigned tokens of the Firebase emulator are accepted.')
  return `${lines.join('\n')}\n`
}
