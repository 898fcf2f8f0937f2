import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Message, Seqs } from '../../src/contract'
import { Connection } from '../../src/socket/connection'

/** A socket that does what the test says. */
class FakeSocket {
  onopen: (() => void) | null = null
  onmessage: ((event: { data: string }) => void) | null = null
  onclose: (() => void) | null = null
  sent: unknown[] = []
  closed = false
  send(text: string): void {
    this.sent.push(JSON.parse(text))
  }
  close(): void {
    this.closed = true
  }
}

function setUp(): {
  sockets: FakeSocket[]
  delivered: Message[]
  has: { after: Seqs; gap: boolean }
  connection: Connection
} {
  const sockets: FakeSocket[] = []
  const delivered: Message[] = []
  const has = { after: {} as Seqs, gap: false }
  const events = {
    after: () => has.after,
    deliver: (message: Message) => {
      delivered.push(message)
      return has.gap
    },
    opened: () => {},
    closed: () => {},
  }
  const make = (): WebSocket => {
    sockets.push(new FakeSocket())
    return sockets.at(-1) as unknown as WebSocket
  }
  const connection = new Connection('ws://host/ws', ['alarms'], events, make)
  connection.start()
  return { sockets, delivered, has, connection }
}

describe('the connection', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  test('asks for what stands at first, and later for what came after', () => {
    const { sockets, has } = setUp()
    sockets[0]!.onopen!()
    expect(sockets[0]!.sent).toEqual([{ type: 'subscribe', channels: ['alarms'], format: 'json' }])
    has.after = { cuihu: 7 }
    sockets[0]!.onclose!()
    vi.advanceTimersByTime(5_000)
    sockets[1]!.onopen!()
    expect(sockets[1]!.sent).toMatchObject([{ after: { cuihu: 7 } }])
  })

  test('tries again for ever, never more than 5 s apart', () => {
    const { sockets } = setUp()
    for (let attempt = 1; attempt < 30; attempt += 1) {
      sockets.at(-1)!.onclose!()
      vi.advanceTimersByTime(5_000)
      expect(sockets).toHaveLength(attempt + 1)
    }
  })

  test('gives up a socket that is open and dead', () => {
    const { sockets } = setUp()
    sockets[0]!.onopen!()
    vi.advanceTimersByTime(14_000)
    sockets[0]!.onmessage!({ data: '{"type":"resumed","latest_seq":{}}' })
    vi.advanceTimersByTime(14_000)
    expect(sockets[0]!.closed).toBe(false)
    vi.advanceTimersByTime(1_000)
    expect(sockets[0]!.closed).toBe(true)
    vi.advanceTimersByTime(5_000)
    expect(sockets).toHaveLength(2)
  })

  test('starts over where something is missing, and once', () => {
    const { sockets, has } = setUp()
    sockets[0]!.onopen!()
    has.gap = true
    sockets[0]!.onmessage!({ data: '{"type":"resumed","latest_seq":{}}' })
    expect(sockets[0]!.closed).toBe(true)
    expect(sockets[0]!.onclose).toBeNull()
    vi.advanceTimersByTime(5_000)
    expect(sockets).toHaveLength(2)
  })

  test('survives what is no message', () => {
    const { sockets, delivered } = setUp()
    sockets[0]!.onopen!()
    for (const data of ['', 'null', '7', '{', '{"no":"type"}']) sockets[0]!.onmessage!({ data })
    expect(delivered).toEqual([])
  })

  test('stays closed once it is stopped', () => {
    const { sockets, connection } = setUp()
    sockets[0]!.onopen!()
    connection.stop()
    vi.advanceTimersByTime(60_000)
    expect(sockets).toHaveLength(1)
  })
})
