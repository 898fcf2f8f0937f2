import type { Alarm, CellUpdate } from '../../src/contract'
import { alarm as filled } from '../server/alarms.mjs'

export const NOON = Date.parse('2026-05-11T04:00:00.000Z')

export function change(seq: number, wanted: Partial<Alarm> = {}): Alarm {
  return { ...filled({ rule: 'R06', priority: 2, alarm_id: 'a', ...wanted }, undefined, NOON), seq }
}

export function cell(name: string, score: number | null): CellUpdate {
  return { cell: name, score, level: score === null ? 'unknown' : 'low', coverage: 1, n_events: 0 }
}
