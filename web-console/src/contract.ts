// What the server says, as TypeScript. The Rust types are the truth: `hexwatch_contract::live`, `::alarm`,
// `::risk` and `::account`; the map is `GET /api/v1/map` of `hexwatch_server`. One spelling a word on both sides.
import type { FeatureCollection } from 'geojson'

/** RFC 3339 in UTC with milliseconds. */
export type Time = string

export type Level = 'unknown' | 'low' | 'elevated' | 'high' | 'critical'
export type Feed = 'live' | 'delayed' | 'lost'
export type Priority = 1 | 2 | 3 | 4
export const PRIORITIES: readonly Priority[] = [1, 2, 3, 4]

export type Class =
  | 'fire'
  | 'gas'
  | 'intrusion'
  | 'access'
  | 'panic'
  | 'medical'
  | 'perimeter'
  | 'crowd'
  | 'hazard'
  | 'welfare'
  | 'patrol'
  | 'equipment'
  | 'risk'
  | 'system'

export type State = 'normal' | 'unack' | 'acked' | 'rtn_unack' | 'shelved' | 'suppressed' | 'out_of_service'

export type Transition =
  | 'raise'
  | 'ack'
  | 'unack'
  | 'comment'
  | 'assign'
  | 'clear'
  | 'return'
  | 'shelve'
  | 'unshelve'
  | 'suppress'
  | 'escalate'
  | 'confirm'
  | 'reject'

export interface Input {
  topic: string
  partition: number
  offset: number
  id: string
  role: string
}

/** One change of one alarm, complete: the alarm as it stands after it. */
export interface Alarm {
  alarm_id: string
  seq: number
  site: string
  rule: string
  rule_version: number
  class: Class
  priority: Priority
  state: State
  transition: Transition
  actor_ref: string | null
  note: string | null
  assigned_to: string | null
  shelved_until: Time | null
  raised_at: Time
  changed_at: Time
  emitted_at: Time
  key: string
  device: string | null
  cell: string | null
  lon: number | null
  lat: number | null
  area: string | null
  grid: string | null
  officer_role: string | null
  inputs: Input[]
  measured: Record<string, unknown>
  confirm_level: 'single' | 'dual' | 'human'
  drill: boolean
  replay: boolean
  incident: string | null
  explain: { template: string; arguments: Record<string, unknown> }
}

export interface CellUpdate {
  cell: string
  /** 0 to 100; null where unknown. */
  score: number | null
  level: Level
  coverage: number
  n_events: number
}

/** The last `seq` of each site. */
export type Seqs = Record<string, number>

export interface Hello {
  version: string
  mode: 'live' | 'demo' | 'replay'
  time_zone: string
}

export interface Cells {
  watermark: Time
  full: boolean
  cells: CellUpdate[]
}

export interface Heartbeat {
  now: Time
  watermark: Time | null
  data_age_s: number | null
  feed: Feed
  unack: Partial<Record<'1' | '2' | '3' | '4', number>>
  latest_seq: Seqs
}

export interface Source {
  topic: string
  partition: number
  lag: number
  last_time: Time | null
  state: 'live' | 'idle' | 'lagging' | 'lost'
}

/** Counts of one topic's records; `read` is the sum of the others. */
export interface Account {
  read: number
  accepted: number
  duplicate: number
  late: number
  dead_letter: number
}

export interface Health {
  ingest: string
  sources: Source[]
  silent_devices: number
  accounts: Record<string, Account>
}

export type Message =
  | ({ type: 'hello' } & Hello)
  | ({ type: 'cells' } & Cells)
  | ({ type: 'alarm' } & Alarm)
  | { type: 'resumed'; latest_seq: Seqs }
  | ({ type: 'heartbeat' } & Heartbeat)
  | ({ type: 'health' } & Health)
  | { type: 'error'; detail: string }

export interface Device {
  id: string
  type: string
  lon: number
  lat: number
  floor: number | null
}

/** `GET /api/v1/map`: what the site looks like; it does not change while the server runs. WGS 84 throughout. */
export interface SiteMapData {
  site: { name: string; time_zone: string; bbox?: [number, number, number, number] | null }
  zones: FeatureCollection
  grids: FeatureCollection
  buildings: FeatureCollection
  roads: FeatureCollection
  devices: Device[]
  cells: { cell: string; ring: [number, number][] }[]
}
