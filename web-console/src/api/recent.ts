import type { Alarm, Seqs } from '../contract'
import { ask } from './get'

/** How far back changes are fetched when a screen opens: enough for an hour that is not a flood. */
const MOST_CHANGES = 2_000

export interface Recent {
  changes: Alarm[]
  /** Since when nothing is missing in them, in epoch milliseconds; minus infinity where they are all there ever were. */
  since: number
}

/** The latest changes of every site, ended alarms included; null where they may not be read. */
export async function recentChanges(latest: Seqs): Promise<Recent | null> {
  const changes: Alarm[] = []
  let since = -Infinity
  for (const [site, seq] of Object.entries(latest)) {
    const after = Math.max(0, seq - MOST_CHANGES)
    const query = new URLSearchParams({ site, after: String(after), limit: String(MOST_CHANGES) })
    const answer = await ask<{ alarms: Alarm[] }>(`/api/v1/alarms?${query}`)
    if (!answer.ok) return null
    changes.push(...answer.value.alarms)
    const first = answer.value.alarms[0]
    if (after > 0 && first) since = Math.max(since, Date.parse(first.changed_at))
  }
  return { changes, since }
}
