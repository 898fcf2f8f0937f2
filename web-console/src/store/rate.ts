import type { AlarmEntry } from './alarms'

export const BIN_MS = 10 * 60_000
export const BINS = 6

/** EEMUA 191, alarms per operator in 10 minutes: long-term average that is acceptable, that can be managed, a flood. */
export const EEMUA = { acceptable: 1, manageable: 2, flood: 10 } as const

/** A flood ends well below where it begins, so that it does not come and go. */
const FLOOD_ENDS_BELOW = 5

/** Whether there is a flood, given whether there was one. */
export function isFlood(was: boolean, justNow: number): boolean {
  return justNow > EEMUA.flood || (was && justNow >= FLOOD_ENDS_BELOW)
}

/** Alarms raised in the 10 minutes before `now`: what a flood is measured by. */
export function raisedJustNow(entries: readonly AlarmEntry[], now: number): number {
  return entries.filter(({ raisedAt }) => raisedAt <= now && raisedAt > now - BIN_MS).length
}

/**
 * Alarms raised in each of the last six stretches of 10 minutes before `now`, the oldest first; null where a stretch
 * began before `knownSince`, because some of its alarms may never have come here.
 */
export function raisedPerBin(entries: readonly AlarmEntry[], now: number, knownSince = -Infinity): (number | null)[] {
  const bins = new Array<number>(BINS).fill(0)
  for (const { raisedAt } of entries) {
    const bin = BINS - 1 - Math.floor((now - raisedAt) / BIN_MS)
    if (bin >= 0 && bin < BINS) bins[bin] = (bins[bin] ?? 0) + 1
  }
  return bins.map((count, bin) => (now - (BINS - bin) * BIN_MS < knownSince ? null : count))
}
