import assert from 'node:assert/strict'

/** An answer of the server, read to its end. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: unknown
}

export interface OrdersClient {
  place(item: string, total?: number): Promise<Answer>
  list(): Promise<Answer>
}

/** The app's side: calls `/auth/orders` with a token and, if given, more headers. */
export function createOrdersClient(
  url: string,
  token: string,
  more: Readonly<Record<string, string>> = {},
): OrdersClient {
  const headers = { authorization: `Bearer ${token}`, ...more }
  return {
    place: (item, total = 19.99) =>
      call(`${url}/auth/orders`, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify({ item, total }),
      }),
    list: () => call(`${url}/auth/orders`, { headers }),
  }
}

async function call(url: string, init: RequestInit): Promise<Answer> {
  const response = await fetch(url, init)
  return { status: response.status, headers: response.headers, body: await response.json() }
}

/** The items of a list of orders; fails for any other answer. */
export function itemsOf(answer: Answer): string[] {
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  const { orders } = answer.body as { orders: { item: string }[] }
  return orders.map(({ item }) => item)
}

/** Asserts a refusal: the status, our code, and the header that belongs to the status. */
export function assertRefused(answer: Answer, status: number, code: string): void {
  const { code: given } = answer.body as { code?: string }
  assert.deepEqual({ status: answer.status, code: given }, { status, code })
  assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/)
  if (status === 401)
    assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer realm="quayside"/)
  if (status === 503) assert.match(answer.headers.get('retry-after') ?? '', /^[1-9]\d*$/)
}
