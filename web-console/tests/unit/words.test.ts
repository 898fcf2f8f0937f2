import { describe, expect, test } from 'vitest'
import { en } from '../../src/intl/en'
import { fill } from '../../src/intl/fill'
import { nameIn } from '../../src/intl/name'
import { zhCN } from '../../src/intl/zh-CN'
import { age } from '../../src/store/age'
import { balances, total } from '../../src/store/accounts'
import { Announcements } from '../../src/store/announcements'
import { AlarmBook } from '../../src/store/alarms'
import { isFlood, raisedPerBin } from '../../src/store/rate'
import { pauseBefore } from '../../src/socket/backoff'
import { change, NOON } from './factory'

const placeholders = (sentence: string): string[] => (sentence.match(/\{\w+\}/g) ?? []).sort()

describe('the languages', () => {
  test('say the same sentences', () => {
    expect(Object.keys(zhCN).sort()).toEqual(Object.keys(en).sort())
  })

  test('take the same values and leave nothing empty', () => {
    for (const key of Object.keys(en) as (keyof typeof en)[]) {
      expect(placeholders(zhCN[key]), key).toEqual(placeholders(en[key]))
      expect(zhCN[key].trim(), key).not.toBe('')
      expect(en[key].trim(), key).not.toBe('')
    }
  })

  test('a name that is given in both is said in one', () => {
    expect(nameIn('en', '中心公园 Central park')).toBe('Central park')
    expect(nameIn('zh-CN', '中心公园 Central park')).toBe('中心公园')
    expect(nameIn('zh-CN', '1幢 Building 1')).toBe('1幢')
    expect(nameIn('en', '燃气重点区域 Gas station (key area)')).toBe('Gas station (key area)')
    expect(nameIn('en', '3 号门 2')).toBe('3 号门 2')
    expect(nameIn('en', '翠湖一期')).toBe('翠湖一期')
    expect(nameIn('zh-CN', 'Block 7')).toBe('Block 7')
  })

  test('a value that is missing stays visible', () => {
    expect(fill('{a} and {b}', { a: 1 })).toBe('1 and {b}')
  })
})

describe('figures', () => {
  test('an age is mm:ss, and h:mm:ss from an hour on', () => {
    expect(age(NOON, NOON + 65_000)).toBe('01:05')
    expect(age(NOON, NOON + 3_661_000)).toBe('1:01:01')
    expect(age(NOON, NOON - 5_000)).toBe('00:00')
  })

  test('alarms fall into the ten minutes they were raised in', () => {
    const book = new AlarmBook()
    const raised = (minutes: number): string => new Date(NOON - minutes * 60_000).toISOString()
    for (const [i, minutes] of [0, 9.9, 10, 59.9, 60, 90].entries())
      book.apply(change(i + 1, { alarm_id: `${i}`, raised_at: raised(minutes) }))
    expect(raisedPerBin(book.entries(), NOON)).toEqual([1, 0, 0, 0, 1, 2])
  })

  test('a stretch that began before anything was known is not said to be calm', () => {
    expect(raisedPerBin([], NOON, NOON - 25 * 60_000)).toEqual([null, null, null, null, 0, 0])
  })

  test('a flood begins above ten in ten minutes and ends below five', () => {
    expect(
      [10, 11, 10, 5, 4, 5].reduce<boolean[]>((seen, count) => [...seen, isFlood(seen.at(-1) ?? false, count)], []),
    ).toEqual([false, true, true, true, false, false])
  })

  test('an account balances when every record read has ended somewhere', () => {
    const account = { read: 10, accepted: 6, duplicate: 2, late: 1, dead_letter: 1 }
    expect(balances(account)).toBe(true)
    expect(balances({ ...account, late: 0 })).toBe(false)
    expect(total([account, account]).read).toBe(20)
  })

  test('pauses grow and never exceed what lets a wall be back within 5 s', () => {
    const pauses = [0, 1, 2, 3, 4, 50].map((attempt) => pauseBefore(attempt, 1))
    expect(pauses).toEqual([...pauses].sort((a, b) => a - b))
    expect(pauses.at(-1)).toBeLessThan(5_000)
  })
})

describe('announcements', () => {
  const bookOf = (...names: string[]): AlarmBook => {
    const book = new AlarmBook()
    names.forEach((alarm_id, i) => book.apply(change(i + 1, { alarm_id })))
    return book
  }

  test('each alarm is said once', () => {
    const announcements = new Announcements()
    expect(announcements.next(bookOf('a').entries()).one).toHaveLength(1)
    const second = announcements.next(bookOf('a', 'b').entries())
    expect(second.one.map(({ alarm }) => alarm.alarm_id)).toEqual(['b'])
  })

  test('a burst is said in one sentence', () => {
    const { one, many } = new Announcements().next(bookOf('a', 'b', 'c', 'd').entries())
    expect(one).toHaveLength(0)
    expect(many).toHaveLength(4)
  })
})
