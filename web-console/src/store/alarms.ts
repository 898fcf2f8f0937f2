import type { Alarm, Priority, Seqs } from '../contract'

/** How many changes of one alarm are kept. */
const MOST_CHANGES = 100
/** How long an alarm that is over is kept, so that the last hour can be counted. */
const KEEP_ENDED_MS = 2 * 3_600_000

/** An alarm as it stands, and how it came there. */
export interface AlarmEntry {
  alarm: Alarm
  raisedAt: number
  /** Who acknowledged it last, where that was seen. */
  ackedBy: string | null
  /** The changes that were seen, in the order of `seq`. */
  changes: Alarm[]
}

/** What applying a change came to; `gap`: a change before it is missing. */
export type Applied = 'applied' | 'duplicate' | 'gap'

/**
 * All alarms of all sites. `(site, seq)` orders the changes without gaps, so a doubled change is dropped and a missing
 * one is noticed; between `hello` and `resumed` the numbers may jump, because the server vouches for the whole.
 */
export class AlarmBook {
  readonly #entries = new Map<string, AlarmEntry>()
  readonly #complete = new Map<string, number>()
  #resuming = true
  /** What came since the connection was made: the alarms by id, and the new numbers of each site. */
  #mentioned = new Set<string>()
  #numbers = new Map<string, Set<number>>()

  /** A new connection: what comes until `resumed` is a list that is complete only as a whole. */
  beginResume(): void {
    this.#resuming = true
    this.#mentioned = new Set()
    this.#numbers = new Map()
  }

  /** The numbers up to which nothing is missing. */
  after(): Seqs {
    return Object.fromEntries(this.#complete)
  }

  apply(alarm: Alarm): Applied {
    const known = this.#entries.get(alarm.alarm_id)
    const duplicate = known !== undefined && known.alarm.seq >= alarm.seq
    if (!duplicate) this.#entries.set(alarm.alarm_id, grown(known, alarm))
    if (this.#resuming) {
      this.#mention(alarm)
      return duplicate ? 'duplicate' : 'applied'
    }
    const complete = this.#complete.get(alarm.site) ?? 0
    if (alarm.seq <= complete) return 'duplicate'
    if (alarm.seq > complete + 1) return 'gap'
    this.#complete.set(alarm.site, alarm.seq)
    return duplicate ? 'duplicate' : 'applied'
  }

  /** Returns false where the server's numbers are behind ours: its log began anew, and so must we. */
  resumed(latest: Seqs): boolean {
    for (const [site, complete] of this.#complete) {
      if ((latest[site] ?? 0) < complete) {
        this.clear()
        return false
      }
    }
    for (const [site, seq] of Object.entries(latest)) {
      if (!this.#hasAllUpTo(site, seq)) this.#dropUnmentioned(site)
      this.#complete.set(site, seq)
    }
    this.#resuming = false
    return true
  }

  #mention({ alarm_id, site, seq }: Alarm): void {
    this.#mentioned.add(alarm_id)
    const numbers = this.#numbers.get(site) ?? new Set()
    if (seq > (this.#complete.get(site) ?? 0)) numbers.add(seq)
    this.#numbers.set(site, numbers)
  }

  #hasAllUpTo(site: string, latest: number): boolean {
    return (this.#numbers.get(site)?.size ?? 0) === latest - (this.#complete.get(site) ?? 0)
  }

  /**
   * A list with holes is a picture of what stands: the gap was too long for every change to be sent. What it does not
   * mention ended in the meantime, and would else stay on the wall for ever.
   */
  #dropUnmentioned(site: string): void {
    for (const [id, { alarm }] of this.#entries) {
      if (alarm.site === site && alarm.state !== 'normal' && !this.#mentioned.has(id)) this.#entries.delete(id)
    }
  }

  /** Takes older changes that were asked for: they fill in what happened before, and turn nothing back. */
  recall(changes: readonly Alarm[]): void {
    const older = new Map<string, Alarm[]>()
    for (const change of changes) older.set(change.alarm_id, [...(older.get(change.alarm_id) ?? []), change])
    for (const [id, list] of older) {
      const bySeq = new Map([...list, ...(this.#entries.get(id)?.changes ?? [])].map((change) => [change.seq, change]))
      const inOrder = [...bySeq.values()].sort((a, b) => a.seq - b.seq)
      const entry = inOrder.reduce<AlarmEntry | undefined>(grown, undefined)
      if (entry) this.#entries.set(id, entry)
    }
  }

  /** Whether the server has given numbers that never came here. */
  isBehind(latest: Seqs): boolean {
    if (this.#resuming) return false
    return Object.entries(latest).some(([site, seq]) => seq > (this.#complete.get(site) ?? 0))
  }

  clear(): void {
    this.#entries.clear()
    this.#complete.clear()
    this.#resuming = true
  }

  /** Forgets what has long been over. */
  prune(now: number): void {
    for (const [id, { alarm }] of this.#entries) {
      if (alarm.state === 'normal' && now - Date.parse(alarm.changed_at) > KEEP_ENDED_MS) this.#entries.delete(id)
    }
  }

  get(id: string): AlarmEntry | undefined {
    return this.#entries.get(id)
  }

  entries(): AlarmEntry[] {
    return [...this.#entries.values()]
  }
}

function grown(known: AlarmEntry | undefined, alarm: Alarm): AlarmEntry {
  const changes = [...(known?.changes ?? []), alarm].slice(-MOST_CHANGES)
  let ackedBy = known?.ackedBy ?? null
  if (alarm.transition === 'ack') ackedBy = alarm.actor_ref
  if (alarm.state === 'unack' || alarm.state === 'rtn_unack') ackedBy = null
  return { alarm, raisedAt: Date.parse(alarm.raised_at), ackedBy, changes }
}

/** Wants somebody's eyes: not over, and not put aside. */
export function isActive({ alarm }: AlarmEntry): boolean {
  return alarm.state === 'unack' || alarm.state === 'acked' || alarm.state === 'rtn_unack'
}

export function isUnacknowledged({ alarm }: AlarmEntry): boolean {
  return alarm.state === 'unack' || alarm.state === 'rtn_unack'
}

/** By priority, then by age, the oldest first; the id settles ties so that rows never swap. */
export function byUrgency(a: AlarmEntry, b: AlarmEntry): number {
  return (
    a.alarm.priority - b.alarm.priority ||
    a.raisedAt - b.raisedAt ||
    (a.alarm.alarm_id < b.alarm.alarm_id ? -1 : a.alarm.alarm_id > b.alarm.alarm_id ? 1 : 0)
  )
}

export function countByPriority(entries: readonly AlarmEntry[]): Record<Priority, number> {
  const counts: Record<Priority, number> = { 1: 0, 2: 0, 3: 0, 4: 0 }
  for (const { alarm } of entries) counts[alarm.priority] += 1
  return counts
}
