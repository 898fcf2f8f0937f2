import { byUrgency, isUnacknowledged, type AlarmEntry } from './alarms'

export type GroupName = 'need' | 'hand' | 'shelved' | 'history'
export const GROUPS: readonly GroupName[] = ['need', 'hand', 'shelved', 'history']

/** How many alarms that are over stay in the list. */
const MOST_HISTORY = 200

/** The alarms as a person works through them; what is over comes newest first. */
export function grouped(entries: readonly AlarmEntry[]): Record<GroupName, AlarmEntry[]> {
  const groups: Record<GroupName, AlarmEntry[]> = { need: [], hand: [], shelved: [], history: [] }
  for (const entry of entries) groups[groupOf(entry)].push(entry)
  for (const name of ['need', 'hand', 'shelved'] as const) groups[name].sort(byUrgency)
  groups.history.sort((a, b) => Date.parse(b.alarm.changed_at) - Date.parse(a.alarm.changed_at))
  groups.history.splice(MOST_HISTORY)
  return groups
}

function groupOf(entry: AlarmEntry): GroupName {
  if (isUnacknowledged(entry)) return 'need'
  if (entry.alarm.state === 'acked') return 'hand'
  return entry.alarm.state === 'normal' ? 'history' : 'shelved'
}
