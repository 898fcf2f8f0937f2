import { test as base, expect, type Page } from '@playwright/test'
import { playAfternoon } from '../server/alarms.mjs'
import { Feed } from '../server/feed.mjs'

interface Fixtures {
  feed: Feed
  address: string
  /** What the page asked of other hosts, and what it complained of; both must stay empty. */
  complaints: string[]
}

export const test = base.extend<Fixtures>({
  feed: async ({}, use) => {
    const feed = new Feed()
    await use(feed)
    await feed.close()
  },
  address: async ({ feed }, use) => use(await feed.listen()),
  complaints: [
    async ({ page, address }, use) => {
      const complaints: string[] = []
      page.on('request', (request) => {
        if (!request.url().startsWith(`${address}/`) && !request.url().startsWith('data:'))
          complaints.push(`asked ${request.url()}`)
      })
      page.on('websocket', (socket) => {
        if (!socket.url().startsWith(address.replace('http', 'ws'))) complaints.push(`asked ${socket.url()}`)
      })
      page.on('pageerror', (error) => complaints.push(`failed: ${error.message}`))
      page.on('console', (message) => {
        if (/Content Security Policy/i.test(message.text())) complaints.push(message.text())
      })
      await use(complaints)
      expect(complaints).toEqual([])
    },
    { auto: true },
  ],
})

export { expect, playAfternoon }

/** Opens the wall and waits until its map is drawn and its list of alarms is complete. */
export async function openWall(page: Page, address: string, language: 'zh-CN' | 'en' = 'zh-CN'): Promise<void> {
  await page.goto(`${address}/wall?lang=${language}`)
  await expect(page.getByTestId('map')).toHaveAttribute('data-ready', 'true', { timeout: 20_000 })
  await expect(page.getByTestId('connection')).toHaveAttribute('data-feed', 'live')
}

/** What the map holds for a cell, as the map itself tells. */
export function scoreOnMap(page: Page, cell: string): Promise<number | undefined> {
  return page.evaluate((name) => window.hexwatchMap?.inspect(name)?.score, cell)
}
