import AxeBuilder from '@axe-core/playwright'
import type { Page } from '@playwright/test'
import { expect, playAfternoon, test } from './fixture'

async function openAlarms(page: Page, address: string): Promise<void> {
  await page.goto(`${address}/alarms?lang=en`)
  await expect(page.getByTestId('rows').getByRole('button').first()).toBeVisible()
}

test('an alarm is acknowledged by keyboard in two keys, and the focus is seen', async ({ page, feed, address }) => {
  playAfternoon(feed)
  await openAlarms(page, address)
  await page.keyboard.press('j')
  const focused = page.locator('[data-row]:focus')
  await expect(focused).toHaveAttribute('data-priority', '1')
  expect(await focused.evaluate((element) => getComputedStyle(element).outlineStyle)).toBe('solid')
  const id = await focused.getAttribute('data-row')
  await page.keyboard.press('a')
  await expect(page.getByTestId('detail-state')).toHaveText('In hand')
  expect(feed.posts.map(({ path }) => path)).toEqual([`/api/v1/alarms/${id}/ack`])
  await page.keyboard.press('z')
  await expect.poll(() => feed.posts.at(-1)!.path).toBe(`/api/v1/alarms/${id}/unack`)
})

test('a comment and a shelving with time and reason, by keyboard alone', async ({ page, feed, address }) => {
  feed.raise({ alarm_id: 'x', rule: 'R06', priority: 2 }, 'ap-east-1')
  await openAlarms(page, address)
  await page.keyboard.press('j')
  await page.keyboard.press('c')
  await page.keyboard.type('a jackdaw in the lobby')
  await page.keyboard.press('Enter')
  await expect(page.getByTestId('timeline')).toContainText('a jackdaw in the lobby')

  await page.keyboard.press('s')
  await expect(page.getByRole('button', { name: 'Send' })).toBeDisabled()
  await page.keyboard.type('reader is being repaired')
  await page.keyboard.press('Enter')
  await expect(page.getByTestId('detail-state')).toHaveText('Shelved')
  const { body } = feed.posts.at(-1)!
  expect(body.note).toBe('reader is being repaired')
  expect(Date.parse(body.until) - Date.now()).toBeGreaterThan(28 * 60_000)
})

test('without an opened alarm A does nothing, and single keys can be switched off', async ({ page, feed, address }) => {
  feed.raise({ alarm_id: 'x', rule: 'R06', priority: 2 }, 'ap-east-1')
  await openAlarms(page, address)
  await page.keyboard.press('a')
  await page.keyboard.press('j')
  await page.getByRole('checkbox').uncheck()
  await page.keyboard.press('a')
  await page.waitForTimeout(300)
  expect(feed.posts).toEqual([])
})

test('what the server refuses is said in its words', async ({ page, feed, address }) => {
  feed.raise({ alarm_id: 'x', rule: 'R06', priority: 2 }, 'ap-east-1')
  await openAlarms(page, address)
  await page.keyboard.press('j')
  feed.change('x', { transition: 'ack', state: 'acked', actor_ref: 'op-1' }, { sent: false })
  await page.keyboard.press('a')
  await expect(page.locator('footer [role=status]')).toContainText('ack is not possible in the state acked')
})

test('new alarms never move the row somebody is on', async ({ page, feed, address }) => {
  playAfternoon(feed)
  await openAlarms(page, address)
  for (let i = 0; i < 3; i += 1) await page.keyboard.press('j')
  const row = page.locator('[aria-current="true"]')
  const before = (await row.boundingBox())!.y
  for (let i = 0; i < 5; i += 1)
    feed.raise({ alarm_id: `p-${i}`, rule: 'R10', priority: 1 }, 'panic-k-1', feed.now() - 3_600_000)
  await expect(page.locator('[data-row="p-4"]')).toHaveCount(1)
  await page.waitForTimeout(100)
  expect(Math.abs((await row.boundingBox())!.y - before)).toBeLessThan(2)
})

for (const key of ['c', 's', '?']) {
  test(`the dialog of the key ${key} has no accessibility violation and closes with Escape`, async ({
    page,
    feed,
    address,
  }) => {
    feed.raise({ alarm_id: 'x', rule: 'R06', priority: 2 }, 'ap-east-1')
    await openAlarms(page, address)
    await page.keyboard.press('j')
    await page.keyboard.press(key)
    await expect(page.getByRole('dialog')).toBeVisible()
    expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([])
    await page.keyboard.press('Escape')
    await expect(page.getByRole('dialog')).toBeHidden()
  })
}
