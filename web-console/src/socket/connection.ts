import type { Message, Seqs } from '../contract'
import { LONGEST_MS, pauseBefore } from './backoff'

/** A socket that has said nothing for so long is dead, however open it looks; the server speaks every second. */
const DEAD_AFTER_MS = 15_000
/** A connection attempt that takes longer is given up. */
const OPEN_WITHIN_MS = 5_000
/** Only a connection that held this long counts as good again. */
const GOOD_AFTER_MS = 10_000

export interface ConnectionEvents {
  /** The `after` of the subscription: the numbers up to which nothing is missing. */
  after(): Seqs
  /** Returns true where this message shows that something is missing, so that the connection is made anew. */
  deliver(message: Message): boolean
  opened(): void
  closed(): void
}

/** One WebSocket that is always there: it reconnects, subscribes, and resumes after what it already has. */
export class Connection {
  #socket: WebSocket | null = null
  #attempt = 0
  #openedAt = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  #ended = false

  constructor(
    private readonly url: string,
    private readonly channels: readonly string[],
    private readonly events: ConnectionEvents,
    private readonly make: (url: string) => WebSocket = (address) => new WebSocket(address),
  ) {}

  start(): void {
    this.#ended = false
    this.#connect()
  }

  stop(): void {
    this.#ended = true
    clearTimeout(this.#timer)
    this.#drop()
  }

  #connect(): void {
    const socket = this.make(this.url)
    this.#socket = socket
    this.#watch(OPEN_WITHIN_MS)
    socket.onopen = () => {
      this.#openedAt = performance.now()
      this.#watch(DEAD_AFTER_MS)
      socket.send(JSON.stringify(subscription(this.channels, this.events.after())))
      this.events.opened()
    }
    socket.onmessage = ({ data }) => {
      this.#watch(DEAD_AFTER_MS)
      const message = parse(data)
      if (message && this.events.deliver(message)) this.#again()
    }
    socket.onclose = () => this.#again()
  }

  /** Starts over unless something is heard within `ms`. */
  #watch(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#again(), ms)
  }

  #again(): void {
    if (this.#ended) return
    if (this.#openedAt > 0 && performance.now() - this.#openedAt > GOOD_AFTER_MS) this.#attempt = 0
    this.#openedAt = 0
    this.#drop()
    this.events.closed()
    clearTimeout(this.#timer)
    const pause = Math.min(pauseBefore(this.#attempt, Math.random()), LONGEST_MS)
    this.#attempt += 1
    this.#timer = setTimeout(() => this.#connect(), pause)
  }

  #drop(): void {
    const socket = this.#socket
    this.#socket = null
    if (!socket) return
    socket.onopen = socket.onmessage = socket.onclose = null
    socket.close()
  }
}

/** Without `after` the server tells what stands now; with it, every change since. */
function subscription(channels: readonly string[], after: Seqs): object {
  const resume = Object.keys(after).length > 0 ? { after } : {}
  return { type: 'subscribe', channels, format: 'json', ...resume }
}

function parse(data: unknown): Message | null {
  try {
    const message: unknown = JSON.parse(String(data))
    return typeof message === 'object' && message !== null && 'type' in message ? (message as Message) : null
  } catch {
    return null
  }
}
