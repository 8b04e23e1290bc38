import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify'
import type { Logger } from 'pino'
import type { UserDirectory } from './auth/user-directory.ts'
import type { Clock } from './clock.ts'
import type { Sql, Transaction } from './database/connect.ts'

/** The HTTP application that routes are added to: Fastify, with TypeBox schemas as types. */
export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

/** What the platform lends to a feature. A feature asks for the parts that it uses. */
export interface Platform {
  readonly sql: Sql
  readonly transaction: Transaction
  readonly clock: Clock
  /** A new UUIDv7 (RFC 9562) in lower case. */
  readonly newId: () => string
  readonly log: Logger
  readonly users: UserDirectory
  /** HTTP to other services. Tests replace it, so nothing leaves the machine there. */
  readonly fetch: typeof globalThis.fetch
}

/** What a feature gives back: its routes, and what must be let go of when the server stops. */
export interface FeatureParts {
  /** Adds the routes, with their full paths; every one declares `config.access`. */
  readonly routes?: (app: App) => void
  readonly close?: () => Promise<void>
  /** Exactly one feature, identity, says who people are. */
  readonly users?: UserDirectory
}

/** A feature is a value: a name, its migrations, and a function that wires its three layers. */
export interface Feature {
  readonly name: string
  /** Folder of SQL files, `0001-name.sql`, as a URL that ends in `/`. */
  readonly migrations?: URL
  setup(platform: Platform): FeatureParts
}

/** Describes a feature. The name appears in the migration table, so it never changes. */
export function defineFeature(feature: Feature): Feature {
  if (!/^[a-z][a-z0-9-]{0,39}$/.test(feature.name))
    throw new Error(`A feature's name is short and kebab-case, not "${feature.name}".`)
  return feature
}
