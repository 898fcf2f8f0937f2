import { describe, expect, test } from 'vitest'
import type { Heartbeat } from '../../src/contract'
import { freshness } from '../../src/store/freshness'

const beat = (data_age_s: number | null, feed: Heartbeat['feed'] = 'live'): Heartbeat => ({
  now: '2026-05-11T04:00:00.000Z',
  watermark: null,
  data_age_s,
  feed,
  unack: {},
  latest_seq: {},
})

describe('freshness', () => {
  test('data that just came is live', () => {
    expect(freshness({ heartbeat: beat(0.2), at: 1000, open: true }, 1500)).toMatchObject({
      feed: 'live',
      serverSilent: false,
    })
  })

  test('an open socket that says nothing is delayed at 3 s and lost at 10 s', () => {
    const heard = { heartbeat: beat(0), at: 0, open: true }
    expect(freshness(heard, 2_900).feed).toBe('live')
    expect(freshness(heard, 3_000).feed).toBe('delayed')
    expect(freshness(heard, 9_900).feed).toBe('delayed')
    expect(freshness(heard, 10_000)).toMatchObject({ feed: 'lost', ageSeconds: 10, serverSilent: true })
  })

  test('a server that beats and has no data is delayed and lost by the age of its data', () => {
    expect(freshness({ heartbeat: beat(3), at: 0, open: true }, 0).feed).toBe('delayed')
    expect(freshness({ heartbeat: beat(9.5), at: 0, open: true }, 600)).toMatchObject({
      feed: 'lost',
      serverSilent: false,
    })
  })

  test('the server may know better: a broker that is away is lost at once', () => {
    expect(freshness({ heartbeat: beat(0.1, 'lost'), at: 0, open: true }, 0).feed).toBe('lost')
  })

  test('a closed socket is never live', () => {
    expect(freshness({ heartbeat: beat(0), at: 0, open: false }, 0).feed).toBe('delayed')
  })

  test('before any data there is no age, and nothing is claimed to be live', () => {
    expect(freshness({ heartbeat: null, at: 0, open: true }, 1000)).toMatchObject({ feed: 'delayed', ageSeconds: null })
  })
})
