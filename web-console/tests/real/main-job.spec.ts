// The journeys of the main job on the real binary: `HEXWATCH_URL=http://127.0.0.1:8080 npm run e2e -- --project real`.
// `HEXWATCH_TOKEN` logs in where the server wants a login. The data must be flowing, as in `hexwatch demo`.
import { expect, test as base, type Page, type WebSocket } from '@playwright/test'
import type { Alarm, CellUpdate, Message } from '../../src/contract'

const ALARM_MEMBERS: Record<keyof Alarm, true> = {
  alarm_id: true,
  seq: true,
  site: true,
  rule: true,
  rule_version: true,
  class: true,
  priority: true,
  state: true,
  transition: true,
  actor_ref: true,
  note: true,
  assigned_to: true,
  shelved_until: true,
  raised_at: true,
  changed_at: true,
  emitted_at: true,
  key: true,
  device: true,
  cell: true,
  lon: true,
  lat: true,
  area: true,
  grid: true,
  officer_role: true,
  inputs: true,
  measured: true,
  confirm_level: true,
  drill: true,
  replay: true,
  incident: true,
  explain: true,
}

interface Heard {
  messages: Message[]
  /** Requests to other hosts and errors of the page; both must stay empty. */
  complaints: string[]
}

const test = base.extend<{ heard: Heard }>({
  heard: [
    async ({ page, baseURL }, use) => {
      const heard: Heard = { messages: [], complaints: [] }
      const host = new URL(baseURL!).host
      page.on('request', (request) => {
        const url = new URL(request.url())
        if (url.protocol !== 'data:' && url.protocol !== 'blob:' && url.host !== host) heard.complaints.push(url.href)
      })
      page.on('pageerror', (error) => heard.complaints.push(error.message))
      page.on('websocket', (socket: WebSocket) => {
        socket.on('framereceived', ({ payload }) => heard.messages.push(JSON.parse(String(payload)) as Message))
      })
      const token = process.env['HEXWATCH_TOKEN']
      if (token) expect((await page.request.post('/api/v1/login', { data: { token } })).ok()).toBe(true)
      await use(heard)
      expect(heard.complaints).toEqual([])
    },
    { auto: true },
  ],
})

async function openWall(page: Page): Promise<void> {
  await page.goto('/wall?lang=zh-CN')
  await expect(page.getByTestId('map')).toHaveAttribute('data-ready', 'true', { timeout: 30_000 })
  await expect(page.getByTestId('connection')).toHaveAttribute('data-feed', 'live', { timeout: 30_000 })
}

test('the wall is live and paints the scores that the server sends', async ({ page, heard }) => {
  await openWall(page)
  const newest = (): CellUpdate | undefined =>
    heard.messages
      .flatMap((message) => (message.type === 'cells' ? message.cells : []))
      .findLast(({ score }) => score !== null)
  await expect.poll(newest, { timeout: 60_000 }).toBeDefined()
  await expect
    .poll(
      async () => {
        const { cell, score } = newest()!
        const shown = await page.evaluate((name) => window.hexwatchMap?.inspect(name)?.score, cell)
        return shown === score
      },
      { timeout: 20_000 },
    )
    .toBe(true)
  await page.screenshot({ path: 'test-results/real-wall.png' })
})

test('an alarm that is raised comes to the wall with its place, shape and words', async ({ page, heard }) => {
  await openWall(page)
  const rows = page.getByTestId('urgent').locator('li')
  await expect(rows.first()).toBeVisible({ timeout: 120_000 })
  await expect(rows.first().locator('svg')).toBeVisible()
  const alarms = heard.messages.filter((message) => message.type === 'alarm')
  expect(alarms.length).toBeGreaterThan(0)
  for (const alarm of alarms) {
    const { type: _type, ...members } = alarm
    expect(Object.keys(members).sort()).toEqual(Object.keys(ALARM_MEMBERS).sort())
  }
})

test('numbers come without gaps once the list is complete, over a reload as well', async ({ page, heard }) => {
  await openWall(page)
  await page.waitForTimeout(10_000)
  const from = heard.messages.findIndex(({ type }) => type === 'resumed')
  expect(from).toBeGreaterThan(-1)
  const last = new Map(Object.entries((heard.messages[from] as Extract<Message, { type: 'resumed' }>).latest_seq))
  for (const message of heard.messages.slice(from + 1)) {
    if (message.type !== 'alarm') continue
    expect(message.seq).toBe((last.get(message.site) ?? 0) + 1)
    last.set(message.site, message.seq)
  }
})

test('a person acknowledges by keyboard, and the wall says who', async ({ page, context }) => {
  await page.goto('/alarms?lang=en')
  const first = page.getByTestId('rows').locator('button.unack, button.rtn_unack').first()
  await expect(first).toBeVisible({ timeout: 120_000 })
  await page.keyboard.press('j')
  const id = await page.locator('[aria-current="true"]').getAttribute('data-row')
  await page.keyboard.press('a')
  await expect(page.locator('footer [role=status]')).toHaveText('Acknowledged: done')
  const wall = await context.newPage()
  await openWall(wall)
  const answer = await page.request.get(`/api/v1/alarms/${id}`)
  expect(['acked', 'normal']).toContain(((await answer.json()) as Alarm).state)
})

test('the system page accounts for every record', async ({ page }) => {
  await page.goto('/system?lang=en')
  await expect(page.getByTestId('account-table').locator('tbody tr').first()).toBeVisible({ timeout: 30_000 })
  await expect(page.getByTestId('account-table').locator('.wrong')).toHaveCount(0)
})

test('a query over the history answers', async ({ page }) => {
  await page.goto('/query?lang=en')
  await page.getByLabel('SQL', { exact: true }).fill('SELECT count(*) AS n FROM access')
  await page.keyboard.press('Control+Enter')
  await expect(page.getByTestId('result').locator('tbody tr')).toHaveCount(1, { timeout: 30_000 })
})
