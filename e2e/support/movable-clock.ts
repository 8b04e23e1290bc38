// Preloaded into the server (`node --import`): lets a test move the server's clock, so that an hour
// of a token's life, or the pause before keys are asked for again, costs no waiting. Everything
// else is the real server.
const RealDate = globalThis.Date
let offsetMs = 0

globalThis.Date = class extends RealDate {
  constructor(...given: [] | ConstructorParameters<DateConstructor>) {
    if (given.length === 0) super(RealDate.now() + offsetMs)
    else super(...given)
  }

  static override now(): number {
    return RealDate.now() + offsetMs
  }
} as DateConstructor

process.on('message', (message: { readonly moveMs: number }) => {
  offsetMs += message.moveMs
  process.send?.({ offsetMs })
})
// Listening for messages must not keep a server alive that wants to end.
process.channel?.unref()
