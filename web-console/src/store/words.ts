import type { Device } from '../contract'
import { isMessageKey, nameOf, t, type MessageKey } from '../intl/index.svelte'
import type { AlarmEntry } from './alarms'

/** What the alarm says, in the present language: the template the server names, else the rule's name, else its class. */
export function whatOf({ alarm }: AlarmEntry): string {
  const values = alarm.explain.arguments as Record<string, string | number>
  for (const key of [alarm.explain.template, `alarm.${alarm.rule}`]) if (isMessageKey(key)) return t(key, values)
  return `${alarm.rule} ${t(`class.${alarm.class}`)}`
}

/** What a site says of its devices and grids. */
export interface SiteNames {
  devices: ReadonlyMap<string, Device>
  /** The name of each grid. */
  grids: ReadonlyMap<string, string>
}

/** Where it is, without anything that could name a person: the zone or grid, the floor, the device. */
export function whereOf({ alarm }: AlarmEntry, site: SiteNames): string {
  const floor = alarm.device ? site.devices.get(alarm.device)?.floor : undefined
  const parts = [
    alarm.area ? nameOf(alarm.area) : gridName(alarm.grid, site),
    floor === undefined || floor === null ? null : t('alarm.floor', { floor }),
    alarm.device,
  ]
  return parts.filter(Boolean).join(' · ') || t('alarm.place.unknown')
}

/** Who has it; null while nobody does. */
export function ownerOf(entry: AlarmEntry): string | null {
  return entry.alarm.assigned_to ?? entry.ackedBy
}

/** A topic's name in the present language; a topic of a prefix or of the user's own keeps its name. */
export function topicName(topic: string): string {
  const key = `topic.${topic.split('.').at(-1)}`
  return isMessageKey(key) ? t(key as MessageKey) : topic
}

/** A grid as people call it; without a name its id. */
export function gridName(grid: string | null, site: SiteNames): string | null {
  const name = grid === null ? undefined : site.grids.get(grid)
  return name ? nameOf(name) : grid
}

/** A role's name in the present language; of `grid_officer:north` it is that of the officer. */
export function roleName(role: string): string {
  const key = `role.${role.split(':')[0]}`
  return isMessageKey(key) ? t(key) : role
}
