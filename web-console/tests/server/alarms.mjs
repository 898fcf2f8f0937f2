// @ts-check
/** @typedef {import('../../src/contract').Alarm} Alarm */
/** @typedef {import('../../src/contract').Device} Device */

const CLASS_OF = /** @type {Record<string, import('../../src/contract').Class>} */ ({
  R01: 'access',
  R06: 'access',
  R07: 'intrusion',
  R10: 'panic',
  R13: 'gas',
  R14: 'gas',
  R15: 'fire',
  R17: 'equipment',
  R20: 'perimeter',
  R22: 'patrol',
  R28: 'hazard',
  R29: 'hazard',
})

/**
 * A change of an alarm as the engine would send it, filled in around what a test cares for.
 * @param {Partial<Alarm> & { rule: string, priority: Alarm['priority'] }} wanted
 * @param {Device | undefined} device
 * @param {number} now
 * @returns {Omit<Alarm, 'seq'>}
 */
export function alarm(wanted, device, now) {
  const time = new Date(now).toISOString()
  return {
    alarm_id: `${wanted.rule}-${device?.id ?? 'site'}-${now}`,
    site: 'cuihu',
    rule_version: 1,
    class: CLASS_OF[wanted.rule] ?? 'system',
    state: 'unack',
    transition: 'raise',
    actor_ref: null,
    note: null,
    assigned_to: null,
    shelved_until: null,
    raised_at: time,
    changed_at: time,
    emitted_at: time,
    key: device?.id ?? 'cuihu',
    device: device?.id ?? null,
    cell: null,
    lon: device?.lon ?? null,
    lat: device?.lat ?? null,
    area: null,
    grid: null,
    officer_role: 'grid_officer',
    inputs: [{ topic: 'access', partition: 0, offset: 4711, id: 'e-1', role: 'entry' }],
    measured: { count: 3, threshold: 3 },
    confirm_level: 'single',
    drill: false,
    replay: false,
    incident: null,
    explain: { template: `alarm.${wanted.rule}`, arguments: {} },
    ...wanted,
  }
}

/** The afternoon the pictures are taken of. @param {import('./feed.mjs').Feed} feed */
export function playAfternoon(feed) {
  const minutes = (/** @type {number} */ m) => feed.now() - m * 60_000
  const ended = [52, 47, 44, 36, 33, 31, 24, 23, 13, 12]
  ended.forEach((m, i) => {
    const id = feed.raise(
      { alarm_id: `past-${i}`, rule: i % 2 ? 'R17' : 'R06', priority: i % 2 ? 3 : 2 },
      'ap-07-2',
      minutes(m),
    )
    feed.change(id, { transition: 'ack', state: 'acked', actor_ref: 'op-2' })
    feed.change(id, { transition: 'return', state: 'normal', actor_ref: null })
  })
  feed.raise(
    { rule: 'R13', priority: 1, area: '翠湖二期', measured: { lel: 12.4, threshold: 10 } },
    'gas-12-602',
    minutes(1.4),
  )
  const fire = feed.raise({ rule: 'R15', priority: 1, area: '翠湖三期' }, 'smoke-21-304', minutes(4.2))
  feed.change(fire, { transition: 'ack', state: 'acked', actor_ref: 'op-3' })
  feed.raise({ rule: 'R06', priority: 2, area: '翠湖二期' }, 'ap-east-1', minutes(2.7))
  const crossed = feed.raise({ rule: 'R20', priority: 2, area: '南广场' }, 'cam-gate-s', minutes(11.3))
  feed.change(crossed, { transition: 'assign', state: 'acked', assigned_to: '巡逻二组', actor_ref: 'op-1' })
  const lift = feed.raise({ rule: 'R29', priority: 3, area: '翠湖一期' }, 'lift-05-b', minutes(6.1))
  feed.change(lift, { transition: 'return', state: 'rtn_unack' })
  const lane = feed.raise({ rule: 'R28', priority: 3, area: '翠湖一期' }, 'cam-fire-3', minutes(18.5))
  feed.change(lane, { transition: 'ack', state: 'acked', actor_ref: 'op-3' })
  feed.raise({ rule: 'R17', priority: 3, area: '商业街' }, 'co-p2-7', minutes(7.9))
  feed.raise({ rule: 'R22', priority: 4, area: '商业街' }, 'cp-12', minutes(9.6))
}
