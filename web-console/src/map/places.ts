import { byUrgency, type AlarmEntry } from '../store/alarms'

/** Alarms that stand at one place and share a mark; the most urgent one gives it its shape. */
export interface Place {
  /** Stays the same while the place has alarms. */
  key: string
  lon: number
  lat: number
  entries: AlarmEntry[]
}

/** One mark a place, so that a burst of alarms at one door is one large shape with a number, not a heap. */
export function placesOf(entries: readonly AlarmEntry[]): Place[] {
  const places = new Map<string, Place>()
  for (const entry of [...entries].sort(byUrgency)) {
    const { lon, lat, cell, device } = entry.alarm
    if (lon === null || lat === null) continue
    const key = device ?? cell ?? `${lon},${lat}`
    const place = places.get(key)
    if (place) place.entries.push(entry)
    else places.set(key, { key, lon, lat, entries: [entry] })
  }
  return [...places.values()]
}
