import type { Feed, Heartbeat } from '../contract'

export const DELAYED_AFTER_S = 3
export const LOST_AFTER_S = 10

/** What was last heard; times are of one monotonic clock, in milliseconds. */
export interface Heard {
  heartbeat: Heartbeat | null
  /** When that heartbeat came; before the first one, when the page began to wait. */
  at: number
  /** Whether the socket is open. */
  open: boolean
}

export interface Freshness {
  feed: Feed
  /** Seconds since the last data; null where there never was any. */
  ageSeconds: number | null
  /** Whether it is the server that is not heard, rather than the server that hears nothing. */
  serverSilent: boolean
}

/**
 * How fresh the picture is: the worst of what the server says, of the data's age, and of the server's own silence.
 * A socket that is open and says nothing ages like one that is closed.
 */
export function freshness(heard: Heard, now: number): Freshness {
  const silence = Math.max(0, now - heard.at) / 1000
  const dataAge = heard.heartbeat?.data_age_s
  const ageSeconds = typeof dataAge === 'number' ? dataAge + silence : null
  const byServer = heard.heartbeat?.feed ?? 'delayed'
  const byReach = heard.open ? 'live' : 'delayed'
  const feed = worst(byServer, byReach, byAge(silence), byAge(ageSeconds ?? 0))
  return { feed, ageSeconds, serverSilent: !heard.open || silence >= DELAYED_AFTER_S }
}

function byAge(seconds: number): Feed {
  if (seconds >= LOST_AFTER_S) return 'lost'
  return seconds >= DELAYED_AFTER_S ? 'delayed' : 'live'
}

function worst(...feeds: Feed[]): Feed {
  if (feeds.includes('lost')) return 'lost'
  return feeds.includes('delayed') ? 'delayed' : 'live'
}
