import { readFile } from 'node:fs/promises'
import { createCognitoVerifier } from '@quayside/platform/auth/cognito.verifier'
import { createFirebaseVerifier } from '@quayside/platform/auth/firebase.verifier'
import { createGatewayVerifier } from '@quayside/platform/auth/gateway.verifier'
import { createOidcVerifier } from '@quayside/platform/auth/oidc.verifier'
import type { TokenVerifier } from '@quayside/platform/auth/verifier'
import type { Clock } from '@quayside/platform/clock'
import { type Config, ConfigurationError } from './config.ts'

/** Whose tokens are accepted, as configured. */
export interface Verifiers {
  readonly verifiers: readonly TokenVerifier[]
  /** In gateway mode: believes the gateway in front. */
  readonly gateway?: TokenVerifier
}

/** Makes a verifier for each configured issuer. What is half configured throws here, at start. */
export async function createVerifiers(config: Config, clock: Clock): Promise<Verifiers> {
  const verifiers: TokenVerifier[] = []
  if (config.FIREBASE_PROJECT_ID) {
    const account = await serviceAccount(config)
    verifiers.push(
      createFirebaseVerifier({
        projectId: config.FIREBASE_PROJECT_ID,
        checkRevoked: config.FIREBASE_CHECK_REVOKED,
        clock,
        ...(config.FIREBASE_KEYS_URL && { keysUrl: config.FIREBASE_KEYS_URL }),
        ...(config.FIREBASE_AUTH_EMULATOR_HOST && {
          emulatorHost: config.FIREBASE_AUTH_EMULATOR_HOST,
        }),
        ...(account && { serviceAccount: account }),
      }),
    )
  }
  for (const { issuer, ...rest } of config.issuers)
    verifiers.push(createOidcVerifier({ ...rest, issuer, clock }))

  const { COGNITO_USER_POOL_ID: pool, AWS_REGION: region } = config
  if (!pool || !region) return { verifiers }
  const issuer = `${config.COGNITO_ENDPOINT ?? `https://cognito-idp.${region}.amazonaws.com`}/${pool}`
  if (config.COGNITO_TRUST_GATEWAY)
    return { verifiers, gateway: createGatewayVerifier({ issuer, clock }) }
  const clientIds = config.cognitoClientIds
  verifiers.push(createCognitoVerifier({ region, userPoolId: pool, clientIds, issuer, clock }))
  return { verifiers }
}

async function serviceAccount(config: Config) {
  const path = config.GOOGLE_APPLICATION_CREDENTIALS
  if (!path || !config.FIREBASE_CHECK_REVOKED) return undefined
  const refuse = (cause?: unknown) =>
    new ConfigurationError(
      'GOOGLE_APPLICATION_CREDENTIALS: must name the JSON file of a service account.',
      { cause },
    )
  let content: unknown
  try {
    content = JSON.parse(await readFile(path, 'utf8'))
  } catch (cause) {
    throw refuse(cause)
  }
  if (!isServiceAccount(content)) throw refuse()
  return content
}

function isServiceAccount(
  value: unknown,
): value is { client_email: string; private_key: string; token_uri: string } {
  if (typeof value !== 'object' || value === null) return false
  return ['client_email', 'private_key', 'token_uri'].every(
    (name) => typeof Reflect.get(value, name) === 'string',
  )
}
