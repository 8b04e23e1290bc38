import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { BenchDatabase } from './database.ts'
import { namedApplications } from './database.ts'
import type { Issuer } from './issuer.ts'
import { type Child, startChild } from './child.ts'

export type Letter = 'a' | 'b' | 'c' | 'd'

export interface Contestant {
  readonly letter: Letter
  readonly name: string
  readonly port: number
  /** By which its database connections are known; undefined for the server, which has its own. */
  readonly applicationName: string | undefined
  start(): Promise<Child>
}

export interface Surroundings {
  readonly database: BenchDatabase
  readonly issuer: Issuer
  /** For logs and whatever else is written; removed at the end. */
  readonly temporaryDirectory: string
  freePort(): Promise<number>
}

export const poolSize = 10
/** Debian's interpreter, for its packages are not seen by another one that is first on the path. */
export const python = '/usr/bin/python3'
const repository = fileURLToPath(new URL('..', import.meta.url))
const peers = fileURLToPath(new URL('peers/', import.meta.url))

/** Contestant (b): the server as it runs in production, with everything on. */
export async function describeServer(around: Surroundings): Promise<Contestant> {
  const port = await around.freePort()
  const { issuer, audience, jwksUri } = around.issuer
  return {
    letter: 'b',
    name: 'Quayside',
    port,
    applicationName: undefined,
    start: () =>
      startChild({
        command: process.execPath,
        args: ['--conditions=@quayside/source', join(repository, 'apps/server/src/main.ts')],
        env: {
          HOST: '127.0.0.1',
          PORT: String(port),
          DATABASE_URL: around.database.url,
          QUAYSIDE_DATA_DIR: join(around.temporaryDirectory, 'data'),
          AUTH_ISSUERS: JSON.stringify([{ issuer, audience, algorithms: ['RS256'], jwksUri }]),
          LOG_LEVEL: 'info',
          LOG_FORMAT: 'json',
          // The limiter stays on and counts; it only never says no.
          RATE_LIMIT_USER: '100000000',
          RATE_LIMIT_ADDRESS: '100000000',
        },
        // Not the repository, where a developer's `.env` would be read.
        workingDirectory: around.temporaryDirectory,
        logPath: join(around.temporaryDirectory, 'b.log'),
        readyUrl: `http://127.0.0.1:${port}/health/live`,
      }),
  }
}

/** One of the peers: a program that takes its configuration as JSON in its first argument. */
export async function describePeer(
  letter: 'a' | 'c' | 'd',
  around: Surroundings,
): Promise<Contestant> {
  const port = await around.freePort()
  const { name, command, file } = peerPrograms[letter]
  const applicationName = `${namedApplications}${letter}`
  const { issuer, audience, jwksUri } = around.issuer
  const databaseUrl = around.database.url
  const config = { port, databaseUrl, applicationName, poolSize, issuer, audience, jwksUri }
  return {
    letter,
    name,
    port,
    applicationName,
    start: () =>
      startChild({
        command,
        args: [join(peers, file), JSON.stringify(config)],
        env: { NODE_ENV: 'production', PYTHONDONTWRITEBYTECODE: '1' },
        workingDirectory: around.temporaryDirectory,
        logPath: join(around.temporaryDirectory, `${letter}.log`),
        readyUrl: `http://127.0.0.1:${port}/health/live`,
      }),
  }
}

const peerPrograms = {
  a: { name: 'bare node:http + postgres.js', command: process.execPath, file: 'bare.ts' },
  c: { name: 'FastAPI + asyncpg + PyJWT', command: python, file: 'fastapi_twin.py' },
  d: { name: 'Express 5 + pg + jsonwebtoken', command: process.execPath, file: 'express.mjs' },
} as const
