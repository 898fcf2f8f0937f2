import type { Device } from '../contract'
import { isMessageKey, nameOf, t, type MessageKey } from '../intl/index.svelte'
import type { AlarmEntry } from './alarms'

/** What the alarm says, in the present language: the template the server names, else the rule's name, else its class. */
export function whatOf({ alarm }: AlarmEntry): string {
  const values = alarm.explain.arguments as Record<string, string | number>
  for (const key of [alarm.explain.template, `alarm.${alarm.rule}`]) if (isMessageKey(key)) return t(key, values)
  return `${alarm.rule} ${t(`class.${alarm.class}`)}`
}

/** Where it is, without anything that could name a person: the zone or grid, the floor, the device. */
export function whereOf({ alarm }: AlarmEntry, devices: ReadonlyMap<string, Device>): string {
  const floor = alarm.device ? devices.get(alarm.device)?.floor : undefined
  const parts = [
    alarm.area ? nameOf(alarm.area) : alarm.grid,
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

/** A role's name in the present language; a site may have roles of its own. */
export function roleName(role: string): string {
  const key = `role.${role}`
  return isMessageKey(key) ? t(key) : role
}
