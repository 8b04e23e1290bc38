import assert from 'node:assert/strict'

export interface EmulatorUser {
  readonly localId: string
  readonly idToken: string
  readonly refreshToken: string
}

/** The Auth emulator's REST API: the app's side, and the administrator's. */
export function createEmulatorAccounts(host: string, projectId: string) {
  const toolkit = `http://${host}/identitytoolkit.googleapis.com/v1`
  const app = (action: string, body: object) => post(`${toolkit}/accounts:${action}?key=any`, body)
  const owner = { authorization: 'Bearer owner' }
  return {
    signUp: (email: string, password: string) =>
      app('signUp', { email, password, returnSecureToken: true }) as Promise<EmulatorUser>,
    signUpAnonymously: () => app('signUp', { returnSecureToken: true }) as Promise<EmulatorUser>,
    signIn: (email: string, password: string) =>
      app('signInWithPassword', {
        email,
        password,
        returnSecureToken: true,
      }) as Promise<EmulatorUser>,
    async refresh(refreshToken: string): Promise<string> {
      const answer = await post(`http://${host}/securetoken.googleapis.com/v1/token?key=any`, {
        grant_type: 'refresh_token',
        refresh_token: refreshToken,
      })
      return (answer as { id_token: string }).id_token
    },
    update: (localId: string, changes: object) =>
      post(`${toolkit}/projects/${projectId}/accounts:update`, { localId, ...changes }, owner),
    delete: (localId: string) =>
      post(`${toolkit}/projects/${projectId}/accounts:delete`, { localId }, owner),
  }
}

async function post(url: string, body: object, headers: Record<string, string> = {}) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  const answer: unknown = await response.json()
  assert.equal(response.status, 200, JSON.stringify(answer))
  return answer
}
