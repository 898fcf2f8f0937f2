import { byUrgency, type AlarmEntry } from './alarms'

/** Said one by one up to here; a burst is said as one sentence, or nobody could listen. */
const MOST_AT_ONCE = 3

/** Finds the unacknowledged alarms that have not been said yet; each is handed out once. */
export class Announcements {
  readonly #said = new Set<string>()

  next(unacknowledged: readonly AlarmEntry[]): { one: AlarmEntry[]; many: AlarmEntry[] } {
    const present = new Set(unacknowledged.map(({ alarm }) => alarm.alarm_id))
    const fresh = unacknowledged.filter(({ alarm }) => !this.#said.has(alarm.alarm_id)).sort(byUrgency)
    for (const id of this.#said) if (!present.has(id)) this.#said.delete(id)
    for (const { alarm } of fresh) this.#said.add(alarm.alarm_id)
    return fresh.length > MOST_AT_ONCE ? { one: [], many: fresh } : { one: fresh, many: [] }
  }
}
