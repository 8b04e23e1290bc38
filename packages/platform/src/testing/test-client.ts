import type { App } from '../feature.ts'

type InjectReply = Awaited<ReturnType<App['inject']>>

/** A reply, as `inject` of Fastify gives it: `statusCode`, `headers`, `body`, `json()`. */
export type TestReply = InjectReply

type Headers = Readonly<Record<string, string>>

/** Sends requests through the application as one caller. */
export interface TestClient {
  /** Headers that prove who is calling, for requests made in other ways. */
  headers(): Promise<Record<string, string>>
  get(url: string, headers?: Headers): Promise<TestReply>
  post(url: string, body?: unknown, headers?: Headers): Promise<TestReply>
  put(url: string, body?: unknown, headers?: Headers): Promise<TestReply>
  patch(url: string, body?: unknown, headers?: Headers): Promise<TestReply>
  delete(url: string, headers?: Headers): Promise<TestReply>
}

/** Makes a client that proves itself by the headers that `prove` gives. */
export function createTestClient(
  app: App,
  prove: () => Promise<Record<string, string>>,
): TestClient {
  const send =
    (method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE') =>
    async (url: string, body?: unknown, headers: Headers = {}): Promise<TestReply> =>
      app.inject({
        method,
        url,
        headers: { ...(await prove()), ...headers },
        ...(body !== undefined && { payload: body as object }),
      })
  return {
    headers: prove,
    get: (url, headers) => send('GET')(url, undefined, headers),
    post: send('POST'),
    put: send('PUT'),
    patch: send('PATCH'),
    delete: (url, headers) => send('DELETE')(url, undefined, headers),
  }
}
