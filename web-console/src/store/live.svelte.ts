import type { CellUpdate, Health, Heartbeat, Hello, Message, Seqs } from '../contract'
import { recentChanges } from '../api/recent'
import { Connection } from '../socket/connection'
import { AlarmBook, isActive, isUnacknowledged, type AlarmEntry } from './alarms'
import { CellCache } from './cells'
import { freshness, type Freshness } from './freshness'

const TICK_MS = 250
const PRUNE_EVERY_MS = 60_000
/** Heartbeats in a row that know of changes we lack, before we ask for them: one may overtake an alarm. */
const BEHIND_HEARTBEATS = 3

/** Everything the socket has told, as state the screens draw from. */
export class Live {
  hello = $state.raw<Hello | null>(null)
  heartbeat = $state.raw<Heartbeat | null>(null)
  health = $state.raw<Health | null>(null)
  entries = $state.raw<AlarmEntry[]>([])
  /** Whether the list of alarms was ever complete. */
  ready = $state(false)
  fresh = $state.raw<Freshness>({ feed: 'delayed', ageSeconds: null, serverSilent: true })
  /** The engine's clock, in epoch milliseconds; null before the first heartbeat. */
  now = $state<number | null>(null)
  cellsChanged = $state(0)
  /** Since when every alarm that was raised is known here, in epoch milliseconds. */
  knownSince = $state(Infinity)

  active = $derived(this.entries.filter(isActive))
  unacknowledged = $derived(this.entries.filter(isUnacknowledged))

  readonly cells = new CellCache()
  readonly book = new AlarmBook()
  /** Called once for each batch of cells that came. */
  readonly cellListeners = new Set<(cells: readonly CellUpdate[]) => void>()
  /** Called when a connection ended or could not be made. */
  onClosed: () => void = () => {}

  #connection: Connection
  #open = false
  #heardAt = performance.now()
  #behind = 0
  #listScheduled = false
  #timers: ReturnType<typeof setInterval>[] = []

  constructor(url: string) {
    this.#connection = new Connection(url, ['cells', 'alarms', 'health'], {
      after: () => this.book.after(),
      deliver: (message) => this.#deliver(message),
      opened: () => {
        this.#open = true
        this.book.beginResume()
      },
      closed: () => {
        this.#open = false
        this.#tick()
        this.onClosed()
      },
    })
  }

  start(): void {
    this.#connection.start()
    this.#timers = [
      setInterval(() => this.#tick(), TICK_MS),
      setInterval(() => this.now !== null && this.book.prune(this.now), PRUNE_EVERY_MS),
    ]
  }

  stop(): void {
    this.#connection.stop()
    this.#timers.forEach(clearInterval)
  }

  #deliver(message: Message): boolean {
    switch (message.type) {
      case 'hello':
        this.hello = message
        return false
      case 'cells':
        this.cells.apply(message)
        this.cellsChanged += 1
        for (const listener of this.cellListeners) listener(message.cells)
        return false
      case 'alarm': {
        const applied = this.book.apply(message)
        if (applied !== 'duplicate') this.#relist()
        return applied === 'gap'
      }
      case 'resumed': {
        const sane = this.book.resumed(message.latest_seq)
        if (sane && !this.ready) void this.#recall(message.latest_seq)
        this.ready = sane
        this.#relist()
        return !sane
      }
      case 'heartbeat':
        return this.#beat(message)
      case 'health':
        this.health = message
        return false
      case 'error':
        console.warn(`the server did not understand: ${message.detail}`)
        return false
    }
  }

  /** The socket begins with what stands; the last hour also had alarms that are over. */
  async #recall(latest: Seqs): Promise<void> {
    const openedAt = this.now ?? Date.now()
    const recent = await recentChanges(latest)
    this.book.recall(recent?.changes ?? [])
    this.knownSince = recent?.since ?? openedAt
    this.#relist()
  }

  #beat(heartbeat: Heartbeat): boolean {
    this.heartbeat = heartbeat
    this.#heardAt = performance.now()
    this.#tick()
    this.#behind = this.book.isBehind(heartbeat.latest_seq) ? this.#behind + 1 : 0
    if (this.#behind < BEHIND_HEARTBEATS) return false
    this.#behind = 0
    return true
  }

  #tick(): void {
    const at = performance.now()
    this.fresh = freshness({ heartbeat: this.heartbeat, at: this.#heardAt, open: this.#open }, at)
    if (this.heartbeat) this.now = Date.parse(this.heartbeat.now) + (at - this.#heardAt)
  }

  /** Two hundred alarms in one burst are one redraw. */
  #relist(): void {
    if (this.#listScheduled) return
    this.#listScheduled = true
    setTimeout(() => {
      this.#listScheduled = false
      this.entries = this.book.entries()
    }, 16)
  }
}

/** The socket beside the page, whatever host and scheme that has. */
export function socketUrl(page: Location): string {
  return `${page.protocol === 'https:' ? 'wss' : 'ws'}://${page.host}/ws`
}
