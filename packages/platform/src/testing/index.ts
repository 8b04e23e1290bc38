// The public face of the test kit; a team imports it as `@quayside/platform/testing`.
export { createFakeClock, type FakeClock } from './fake-clock.ts'
export { createTestApp, type TestApp, type TestAppOptions } from './test-app.ts'
export { createTestDatabase, type TestDatabase } from './test-database.ts'
export type { TestClient, TestReply } from './test-client.ts'
export type { Outbound, OutboundRequest } from './outbound.ts'
