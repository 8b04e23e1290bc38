import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { loadPeer } from './peer-package.ts'

// The Auth emulator of firebase-tools as a process of its own. It listens at once and prints its
// port; requests wait for the ten seconds of processor time in which it compiles its own API
// description. Its command-line tool would take as long again to start.
const projectId = process.argv[2] ?? 'demo-quayside'
let open = (_app: RequestListener): void => {}
const application = new Promise<RequestListener>((resolve) => (open = resolve))

const server = createServer((request, response) => {
  void application.then((app) => app(request, response))
})
server.listen(0, '127.0.0.1', () => {
  console.log((server.address() as AddressInfo).port)
  void load().then(open)
})

async function load(): Promise<RequestListener> {
  // An internal path, since the package offers no other way in; its version is pinned exactly.
  const emulator = await loadPeer<{ createApp(projectId: string): Promise<RequestListener> }>(
    'firebase-tools/lib/emulator/auth/server.js',
  )
  return emulator.createApp(projectId)
}
