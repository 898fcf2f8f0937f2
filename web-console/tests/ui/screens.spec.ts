import AxeBuilder from '@axe-core/playwright'
import { TOKEN } from '../server/api.mjs'
import { expect, openWall, playAfternoon, test } from './fixture'

const SCREENS = ['/', '/wall', '/alarms', '/query', '/system'] as const
const LANGUAGES = ['zh-CN', 'en'] as const

for (const path of SCREENS) {
  for (const language of LANGUAGES) {
    test(`${path} in ${language} has no accessibility violation`, async ({ page, feed, address }) => {
      playAfternoon(feed)
      feed.raise({ alarm_id: 'drill', rule: 'R15', priority: 2, drill: true }, 'panic-k-1')
      await page.setViewportSize({ width: 1920, height: 1080 })
      if (path === '/wall') await openWall(page, address, language)
      else await page.goto(`${address}${path}?lang=${language}`)
      await expect(page.getByTestId('connection')).toHaveAttribute('data-feed', 'live')
      if (path === '/alarms') {
        await expect(page.getByTestId('map')).toHaveAttribute('data-ready', 'true')
        await page.keyboard.press('j')
      }
      await expect(page.locator('html')).toHaveAttribute('lang', language)
      await page.screenshot({ path: `test-results/screens${path === '/' ? '/start' : path}-${language}.png` })
      const { violations } = await new AxeBuilder({ page }).analyze()
      expect(
        violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`),
      ).toEqual([])
    })
  }
}

test('whoever needs a login is asked for it in both languages, and let in', async ({ page, feed, address }) => {
  feed.admits = false
  await page.goto(`${address}/wall?lang=zh-CN`)
  await expect(page.getByRole('button', { name: '登录' })).toBeVisible()
  expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([])
  await page.getByRole('button', { name: 'English' }).click()
  await page.getByLabel('Token').fill('wrong')
  await page.getByRole('button', { name: 'Log in' }).click()
  await expect(page.getByRole('alert')).toContainText('the token opens no login')
  await page.getByLabel('Token').fill(TOKEN)
  await page.keyboard.press('Enter')
  await expect(page.getByTestId('connection')).toHaveAttribute('data-feed', 'live')
  await expect(page.getByTestId('person')).toContainText('op-9')
})

test('the system page says where every record went', async ({ page, address }) => {
  await page.goto(`${address}/system?lang=en`)
  await expect(page.getByTestId('source-table').locator('tbody tr')).toHaveCount(6)
  await expect(page.getByTestId('account-table').locator('tfoot')).toContainText('1,004,582')
  await expect(page.getByTestId('refused-table')).toContainText('unknown_member')
  await expect(page.getByTestId('query-table')).toContainText('a cross join has no time bounds')
})

test("a query shows its rows, and a refusal in the server's words", async ({ page, address }) => {
  await page.goto(`${address}/query?lang=en`)
  await page.getByLabel('SQL', { exact: true }).fill('SELECT topic, count(*) AS events FROM access GROUP BY topic')
  await page.keyboard.press('Control+Enter')
  await expect(page.getByTestId('result').locator('tbody tr')).toHaveCount(2)
  await expect(page.getByTestId('rows-told')).toContainText('2 rows')
  await page.getByLabel('SQL', { exact: true }).fill('DROP TABLE access')
  await page.getByRole('button', { name: 'Run' }).click()
  await expect(page.getByRole('alert')).toContainText('only SELECT is allowed here')
})

test('the language is switched in place and kept', async ({ page, address }) => {
  await page.goto(`${address}/wall`)
  await expect(page.getByTestId('connection')).toContainText('实时')
  await page.getByRole('button', { name: 'Switch to English' }).click()
  await expect(page.getByTestId('connection')).toContainText('Live')
  await page.goto(`${address}/system`)
  await expect(page.locator('html')).toHaveAttribute('lang', 'en')
})

test('Chinese is drawn as letters, not as boxes, with nothing but the font that is served', async ({
  page,
  address,
}) => {
  await openWall(page, address)
  expect(await page.evaluate(() => document.fonts.check("16px 'Noto Sans SC'", '网格'))).toBe(true)
  // A missing letter is one and the same box whichever it is; letters differ from each other.
  const picture = (text: string): Promise<string> =>
    page.evaluate((letters) => {
      const canvas = Object.assign(document.createElement('canvas'), { width: 48, height: 48 })
      const context = canvas.getContext('2d')!
      context.font = "32px 'Noto Sans SC'"
      context.fillText(letters, 4, 36)
      return canvas.toDataURL()
    }, text)
  const pictures = await Promise.all(['网', '格', '警', '烟', '\u{10FFFD}'].map(picture))
  expect(new Set(pictures).size).toBe(5)
})

test('every Chinese letter the console says is in the font', async ({ page, address }) => {
  await openWall(page, address)
  const { zhCN } = await import('../../src/intl/zh-CN')
  const letters = [...new Set(Object.values(zhCN).join(''))].filter((letter) => /\p{Script=Han}/u.test(letter))
  const missing = await page.evaluate((all) => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 40, height: 40 })
    const context = canvas.getContext('2d', { willReadFrequently: true })!
    context.font = "32px 'Noto Sans SC', 'DejaVu Sans'"
    const drawn = (letter: string): string => {
      context.clearRect(0, 0, 40, 40)
      context.fillText(letter, 2, 32)
      return context
        .getImageData(0, 0, 40, 40)
        .data.filter((_, i) => i % 4 === 3)
        .join()
    }
    // Ideographs beyond the font and every system font show what a missing letter looks like here.
    const box = drawn('\u{2A6D6}')
    return all.filter((letter) => drawn(letter) === box)
  }, letters)
  expect(letters.length).toBeGreaterThan(250)
  expect(missing).toEqual([])
})

test('the wall fills any screen of its shape and cuts nothing off', async ({ page, feed, address }) => {
  playAfternoon(feed)
  for (const [width, height] of [
    [640, 360],
    [1280, 720],
    [3840, 2160],
  ] as const) {
    await page.setViewportSize({ width, height })
    await openWall(page, address, 'en')
    const overflow = await page.evaluate(() => ({
      x: document.documentElement.scrollWidth - innerWidth,
      y: document.documentElement.scrollHeight - innerHeight,
      clock: document.querySelector('.clock')!.getBoundingClientRect().right,
      last: document.querySelector('[data-testid=urgent] li:last-child')!.getBoundingClientRect().right,
    }))
    expect(overflow.x).toBe(0)
    expect(overflow.y).toBe(0)
    expect(overflow.clock).toBeLessThanOrEqual(width)
    expect(overflow.last).toBeLessThanOrEqual(width)
  }
})
