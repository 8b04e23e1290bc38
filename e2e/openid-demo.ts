import { ourApi, phoneClient, startOpenidProvider } from './support/openid-provider.ts'

// An OpenID provider to try things with; see docs/guides/openid.md. Whoever comes is let in under
// the name given as `login_hint`.
const { issuer } = await startOpenidProvider(9400)
console.log(`OpenID provider ${issuer}, client id ${phoneClient}, resource ${ourApi}`)
