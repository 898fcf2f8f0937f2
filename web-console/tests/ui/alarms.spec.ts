import { expect, openWall, playAfternoon, test } from './fixture'

test('an alarm is on the wall at once, on the map and in the list, and said once', async ({ page, feed, address }) => {
  await openWall(page, address)
  await expect(page.getByText('当前无报警')).toBeVisible()
  const id = feed.raise({ rule: 'R13', priority: 1, area: '翠湖二期' }, 'gas-12-602')
  const row = page.getByTestId('urgent').locator(`[data-alarm="${id}"]`)
  await expect(row).toBeVisible({ timeout: 1_000 })
  await expect(row).toContainText('燃气泄漏')
  await expect(row).toContainText('翠湖二期')
  await expect(row).toContainText('未确认')
  const mark = page.getByTestId('marks').locator(`[data-alarms="${id}"]`)
  await expect(mark).toContainText('优先级 1，燃气泄漏')
  feed.repeatLast()
  feed.change(id, { transition: 'comment', note: 'checking' })
  await page.waitForTimeout(300)
  await expect(page.getByTestId('announcements').locator('p')).toHaveCount(1)
  await expect(page.getByTestId('announcements')).toContainText('新报警，优先级 1：燃气泄漏')
})

test('each priority has a shape and a text of its own', async ({ page, feed, address }) => {
  const devices = ['gas-12-602', 'ap-east-1', 'cam-fire-3', 'cp-12']
  devices.forEach((device, i) => feed.raise({ rule: 'R17', priority: (i + 1) as 1 | 2 | 3 | 4 }, device))
  await openWall(page, address)
  const marks = page.getByTestId('marks').locator('li')
  await expect(marks).toHaveCount(4)
  const outlines = await marks.locator('svg path').evaluateAll((paths) => paths.map((path) => path.getAttribute('d')))
  expect(new Set(outlines).size).toBe(4)
  const words = await page.getByTestId('urgent').locator('.shape .heard-only').allTextContents()
  expect(words.map((word) => word.trim())).toEqual(['优先级 1，紧急', '优先级 2，高', '优先级 3，中', '优先级 4，低'])
})

test('the pulse ends with the acknowledgement, and there is none for those who want no motion', async ({
  page,
  feed,
  address,
}) => {
  const id = feed.raise({ rule: 'R13', priority: 1 }, 'gas-12-602')
  await openWall(page, address)
  const ring = page.getByTestId('marks').locator('.ring')
  const motion = (): Promise<string> =>
    ring.evaluate(
      (element) => `${getComputedStyle(element).animationName} ${getComputedStyle(element).animationDuration}`,
    )
  expect(await motion()).toMatch(/pulse 1s$/)
  await page.emulateMedia({ reducedMotion: 'reduce' })
  expect(await motion()).toMatch(/^none/)
  await page.emulateMedia({ reducedMotion: 'no-preference' })
  feed.change(id, { transition: 'ack', state: 'acked', actor_ref: 'op-3' })
  await expect(page.getByTestId('urgent')).toContainText('op-3')
  expect(await motion()).toMatch(/^none/)
})

test('seven rows at most, by priority and then age; the rest is counted', async ({ page, feed, address }) => {
  for (let i = 0; i < 12; i += 1) {
    feed.raise(
      { alarm_id: `n-${i}`, rule: 'R17', priority: i === 11 ? 1 : i % 2 ? 2 : 3 },
      'ap-07-2',
      feed.now() - (20 - i) * 1_000,
    )
  }
  feed.raise({ alarm_id: 'w', rule: 'R21', class: 'welfare', priority: 2 }, 'ap-07-2')
  await openWall(page, address)
  const rows = page.getByTestId('urgent').locator('li')
  await expect(rows).toHaveCount(7)
  const shown = await rows.evaluateAll((items) => items.map((item) => (item as HTMLElement).dataset['alarm']))
  expect(shown).toEqual(['n-11', 'n-1', 'n-3', 'n-5', 'n-7', 'n-9', 'n-0'])
  await expect(page.getByTestId('rest')).toContainText('另有 5 条')
})

test('reconnecting after a dead server loses no alarm and doubles none', async ({ page, feed, address }) => {
  playAfternoon(feed)
  await openWall(page, address)
  await expect(page.getByTestId('urgent').locator('li')).toHaveCount(7)
  for (let round = 0; round < 4; round += 1) {
    feed.accepting = false
    feed.drop()
    feed.raise({ alarm_id: `while-away-${round}`, rule: 'R20', priority: 1 }, 'cam-gate-s')
    await page.waitForTimeout(150 * round)
    feed.accepting = true
    const upAt = Date.now()
    await expect.poll(() => feed.connected, { timeout: 5_000, intervals: [50] }).toBe(1)
    expect(Date.now() - upAt).toBeLessThan(5_000)
    const row = page.getByTestId('marks').locator(`[data-alarms~="while-away-${round}"]`)
    await expect(row).toHaveCount(1)
  }
  const after = feed.subscriptions.at(-1) as Record<string, number>
  expect(after['cuihu']).toBeGreaterThanOrEqual(feed.log.length - 1)
  const onMap = await page
    .getByTestId('marks')
    .locator('li')
    .evaluateAll((marks) => marks.flatMap((mark) => (mark as HTMLElement).dataset['alarms']!.split(' ')))
  expect(new Set(onMap).size).toBe(onMap.length)
  expect(onMap).toHaveLength(8 + 4)
})

test('an alarm lost on an open socket is fetched, by the next number or by the heartbeat', async ({
  page,
  feed,
  address,
}) => {
  await openWall(page, address)
  feed.raise({ alarm_id: 'lost-1', rule: 'R20', priority: 2 }, 'cam-gate-s', feed.now(), { sent: false })
  feed.raise({ alarm_id: 'shown', rule: 'R13', priority: 1 }, 'gas-12-602')
  await expect(page.locator('[data-alarm="shown"]')).toBeVisible()
  await expect(page.locator('[data-alarm="lost-1"]')).toBeVisible({ timeout: 5_000 })
  feed.raise({ alarm_id: 'lost-2', rule: 'R28', priority: 3 }, 'cam-fire-3', feed.now(), { sent: false })
  await expect(page.locator('[data-alarm="lost-2"]')).toBeVisible({ timeout: 8_000 })
})

test('after a gap too long to tell, what ended in the meantime leaves the wall', async ({ page, feed, address }) => {
  feed.raise({ alarm_id: 'ends', rule: 'R13', priority: 1 }, 'gas-12-602')
  feed.raise({ alarm_id: 'stays', rule: 'R20', priority: 2 }, 'cam-gate-s')
  await openWall(page, address)
  await expect(page.getByTestId('urgent').locator('li')).toHaveCount(2)
  feed.mostChanges = 5
  feed.accepting = false
  feed.drop()
  feed.change('ends', { transition: 'clear', state: 'normal' })
  for (let i = 0; i < 10; i += 1) feed.change('stays', { transition: 'comment', note: `${i}` })
  feed.accepting = true
  await expect(page.locator('[data-alarm="ends"]')).toHaveCount(0)
  await expect(page.locator('[data-alarm="stays"]')).toBeVisible()
})

test('two hundred alarms in a burst are all there, and priority 1 is on top', async ({ page, feed, address }) => {
  await openWall(page, address)
  for (let i = 0; i < 200; i += 1)
    feed.raise({ alarm_id: `b-${i}`, rule: 'R17', priority: i === 150 ? 1 : 3 }, feed.site.devices[i % 10]!.id)
  await expect(page.getByTestId('urgent').locator('li').first()).toHaveAttribute('data-alarm', 'b-150')
  await expect(page.getByTestId('unack').locator('[data-priority="3"] .count')).toHaveText('199')
  await expect(page.getByTestId('marks').locator('li')).toHaveCount(10)
  await expect(page.locator('.meter')).toContainText('泛滥')
})

test('an alarm beyond the edge of the map is shown at that edge', async ({ page, feed, address }) => {
  feed.raise({ alarm_id: 'far', rule: 'R10', priority: 1, lon: 121.6, lat: 31.23 })
  await openWall(page, address)
  const map = (await page.getByTestId('map').boundingBox())!
  const shape = (await page.locator('[data-alarms="far"] > .shape').boundingBox())!
  expect(shape.x + shape.width).toBeLessThanOrEqual(map.x + map.width + 1)
  expect(shape.x).toBeGreaterThan(map.x + map.width / 2)
})
