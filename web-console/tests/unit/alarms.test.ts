import { describe, expect, test } from 'vitest'
import { AlarmBook, byUrgency, isActive } from '../../src/store/alarms'
import { change, NOON } from './factory'

const ids = (book: AlarmBook): string[] =>
  book
    .entries()
    .filter(isActive)
    .map(({ alarm }) => alarm.alarm_id)
    .sort()

function resumedBook(latest: number): AlarmBook {
  const book = new AlarmBook()
  book.beginResume()
  book.resumed({ cuihu: latest })
  return book
}

describe('the book of alarms', () => {
  test('a doubled change changes nothing', () => {
    const book = resumedBook(0)
    expect(book.apply(change(1))).toBe('applied')
    expect(book.apply(change(1))).toBe('duplicate')
    expect(book.entries()).toHaveLength(1)
    expect(book.get('a')!.changes).toHaveLength(1)
  })

  test('an older change that comes late does not turn the alarm back', () => {
    const book = resumedBook(0)
    book.apply(change(1))
    book.apply(change(2, { transition: 'ack', state: 'acked' }))
    expect(book.apply(change(1))).toBe('duplicate')
    expect(book.get('a')!.alarm.state).toBe('acked')
  })

  test('a missing number is noticed, what came is shown, and the resume begins before the hole', () => {
    const book = resumedBook(4)
    expect(book.apply(change(7, { alarm_id: 'late' }))).toBe('gap')
    expect(ids(book)).toEqual(['late'])
    expect(book.after()).toEqual({ cuihu: 4 })
    book.beginResume()
    for (const seq of [5, 6, 7]) book.apply(change(seq, { alarm_id: seq === 7 ? 'late' : `a${seq}` }))
    book.resumed({ cuihu: 7 })
    expect(ids(book)).toEqual(['a5', 'a6', 'late'])
    expect(book.after()).toEqual({ cuihu: 7 })
  })

  test('a resume with every change keeps alarms that did not change', () => {
    const book = resumedBook(0)
    book.apply(change(1, { alarm_id: 'standing' }))
    book.beginResume()
    book.apply(change(2, { alarm_id: 'new' }))
    book.resumed({ cuihu: 2 })
    expect(ids(book)).toEqual(['new', 'standing'])
  })

  test('a snapshot after a long gap ends the alarms that it does not mention', () => {
    const book = resumedBook(0)
    book.apply(change(1, { alarm_id: 'ended meanwhile' }))
    book.apply(change(2, { alarm_id: 'still there' }))
    book.beginResume()
    book.apply(change(2, { alarm_id: 'still there' }))
    book.apply(change(900, { alarm_id: 'new' }))
    book.resumed({ cuihu: 901 })
    expect(ids(book)).toEqual(['new', 'still there'])
  })

  test('numbers that went back mean that the log began anew, and so does the book', () => {
    const book = resumedBook(50)
    book.beginResume()
    expect(book.resumed({ cuihu: 3 })).toBe(false)
    expect(book.after()).toEqual({})
  })

  test('sites count by themselves', () => {
    const book = new AlarmBook()
    book.beginResume()
    book.resumed({ cuihu: 5, other: 9 })
    expect(book.apply(change(6, { alarm_id: 'b' }))).toBe('applied')
    expect(book.apply(change(10, { alarm_id: 'c', site: 'other' }))).toBe('applied')
    expect(book.isBehind({ cuihu: 6, other: 10 })).toBe(false)
    expect(book.isBehind({ cuihu: 7, other: 10 })).toBe(true)
  })

  test('who acknowledged stays known through a comment, and is forgotten when it is taken back', () => {
    const book = resumedBook(0)
    book.apply(change(1))
    book.apply(change(2, { transition: 'ack', state: 'acked', actor_ref: 'op-1' }))
    book.apply(change(3, { transition: 'comment', state: 'acked', actor_ref: 'op-2' }))
    expect(book.get('a')!.ackedBy).toBe('op-1')
    book.apply(change(4, { transition: 'unack', state: 'unack', actor_ref: 'op-1' }))
    expect(book.get('a')!.ackedBy).toBeNull()
  })

  test('what has long been over is forgotten, and nothing else', () => {
    const book = resumedBook(0)
    book.apply(change(1, { alarm_id: 'over', state: 'normal' }))
    book.apply(change(2, { alarm_id: 'standing' }))
    book.prune(NOON + 3 * 3_600_000)
    expect(book.entries().map(({ alarm }) => alarm.alarm_id)).toEqual(['standing'])
  })

  test('urgency is priority, then age', () => {
    const book = resumedBook(0)
    const raised = (minutes: number): string => new Date(NOON - minutes * 60_000).toISOString()
    book.apply(change(1, { alarm_id: 'young 1', priority: 1, raised_at: raised(1) }))
    book.apply(change(2, { alarm_id: 'old 2', priority: 2, raised_at: raised(30) }))
    book.apply(change(3, { alarm_id: 'old 1', priority: 1, raised_at: raised(5) }))
    const sorted = book.entries().sort(byUrgency)
    expect(sorted.map(({ alarm }) => alarm.alarm_id)).toEqual(['old 1', 'young 1', 'old 2'])
  })
})

test('older changes that are asked for fill in the history and turn nothing back', () => {
  const book = resumedBook(0)
  book.apply(change(3, { transition: 'comment', state: 'acked', actor_ref: 'op-2' }))
  book.recall([
    change(1),
    change(2, { transition: 'ack', state: 'acked', actor_ref: 'op-1' }),
    change(3, { transition: 'comment', state: 'acked', actor_ref: 'op-2' }),
    change(9, { alarm_id: 'over', state: 'normal' }),
  ])
  const entry = book.get('a')!
  expect(entry.alarm.seq).toBe(3)
  expect(entry.changes.map(({ seq }) => seq)).toEqual([1, 2, 3])
  expect(entry.ackedBy).toBe('op-1')
  expect(book.get('over')).toBeDefined()
})
