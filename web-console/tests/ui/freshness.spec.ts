import { expect, openWall, playAfternoon, test } from './fixture'

const SECOND = 1_000

test('a socket that stays open and says nothing: delayed at 3 s, a banner at 10 s, gone within 1 s of data', async ({
  page,
  feed,
  address,
}) => {
  playAfternoon(feed)
  await openWall(page, address)
  const light = page.getByTestId('connection')
  await expect(light).toContainText('实时')
  feed.speaking = false
  const silentSince = Date.now()

  await expect(light).toHaveAttribute('data-feed', 'delayed', { timeout: 6 * SECOND })
  const delayedAfter = Date.now() - silentSince
  expect(delayedAfter).toBeGreaterThan(2 * SECOND)
  expect(delayedAfter).toBeLessThan(4 * SECOND)
  await expect(light).toContainText('延迟')

  const banner = page.getByTestId('lost-banner')
  await expect(banner).toBeVisible({ timeout: 9 * SECOND })
  const lostAfter = Date.now() - silentSince
  expect(lostAfter).toBeGreaterThan(9 * SECOND)
  expect(lostAfter).toBeLessThan(11 * SECOND)
  expect(feed.connected).toBe(1)
  await expect(light).toContainText('中断')
  expect((await banner.boundingBox())!.width).toBe(page.viewportSize()!.width)
  await expect(page.getByTestId('map')).toHaveCSS('filter', /grayscale\(1\)/)
  await page.screenshot({ path: 'test-results/wall-lost.png' })

  feed.feedAgain()
  await expect(banner).toBeHidden({ timeout: 1 * SECOND })
  await expect(light).toHaveAttribute('data-feed', 'live')
  await expect(page.getByTestId('map')).toHaveCSS('filter', 'none')
})

test('a server that beats without data is lost too, and says so', async ({ page, feed, address }) => {
  await openWall(page, address, 'en')
  feed.starvedSince = Date.now() - 11 * SECOND
  const banner = page.getByTestId('lost-banner')
  await expect(banner).toContainText('No data for 1', { timeout: 2 * SECOND })
  feed.feedAgain()
  await expect(banner).toBeHidden({ timeout: 1 * SECOND })
})

test('where a source lags or is lost, nobody is told that all are up', async ({ page, feed, address }) => {
  await openWall(page, address)
  const sources = page.getByTestId('sources')
  await expect(sources).toContainText('全部正常')
  const iot = feed.health.sources.find(({ topic }) => topic === 'iot')!
  iot.state = 'lagging'
  feed.sayHealth()
  await expect(sources).toContainText('1 个积压')
  await expect(sources).not.toContainText('全部正常')
  iot.state = 'lost'
  feed.sayHealth()
  await expect(sources).toContainText('1 个中断')
})

test('a recording and an exercise are said in full view', async ({ page, feed, address }) => {
  feed.mode = 'replay'
  feed.raise({ rule: 'R15', priority: 2, drill: true }, 'smoke-21-304')
  await openWall(page, address)
  await expect(page.getByTestId('replay-banner')).toContainText('回放')
  await expect(page.getByTestId('drill-banner')).toContainText('演练')
})
