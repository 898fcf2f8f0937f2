import type { CellUpdate } from '../../src/contract'
import { latLngToCell } from 'h3-js'
import { at } from '../server/site.mjs'
import { expect, openWall, scoreOnMap, test } from './fixture'
import { lightness, middleOf, pixelsAround, variation } from './pixels'

/** A cell on open ground: no building and no label lies over its middle. */
const [lon, lat] = at(50, -115)
const OPEN = latLngToCell(lat, lon, 11)

const update = (cell: string, score: number | null): CellUpdate => ({
  cell,
  score,
  level: score === null ? 'unknown' : 'low',
  coverage: score === null ? 0 : 1,
  n_events: 0,
})

test('a cell that changes is painted: the map holds its score and the screen shows it lighter', async ({
  page,
  feed,
  address,
}) => {
  await openWall(page, address)
  feed.updateCells([update(OPEN, 2)])
  await expect.poll(() => scoreOnMap(page, OPEN)).toBe(2)
  const place = await middleOf(page, OPEN)
  const before = lightness((await pixelsAround(page, place.x, place.y, 1)).at(0, 0))
  feed.updateCells([update(OPEN, 95)])
  await expect.poll(() => scoreOnMap(page, OPEN)).toBe(95)
  const after = lightness((await pixelsAround(page, place.x, place.y, 1)).at(0, 0))
  expect(after - before).toBeGreaterThan(90)
})

test('an unknown cell is hatched and looks like no known one', async ({ page, feed, address }) => {
  await openWall(page, address)
  feed.updateCells([update(OPEN, 0)])
  await expect.poll(() => scoreOnMap(page, OPEN)).toBe(0)
  const place = await middleOf(page, OPEN)
  const plain = variation(await pixelsAround(page, place.x, place.y, 16))
  feed.updateCells([update(OPEN, null)])
  await expect.poll(() => scoreOnMap(page, OPEN)).toBe(-1)
  const hatched = variation(await pixelsAround(page, place.x, place.y, 16))
  expect(plain).toBeLessThan(3)
  expect(hatched).toBeGreaterThan(15)
})

test('a cell that was never heard of is unknown from the start', async ({ page, feed, address }) => {
  feed.cells.delete(OPEN)
  await openWall(page, address)
  expect(await scoreOnMap(page, OPEN)).toBeUndefined()
  const place = await middleOf(page, OPEN)
  expect(variation(await pixelsAround(page, place.x, place.y, 16))).toBeGreaterThan(15)
})

test('a lost graphics context comes back with the same cells within 3 s', async ({ page, feed, address }) => {
  await openWall(page, address)
  feed.updateCells([update(OPEN, 95)])
  await expect.poll(() => scoreOnMap(page, OPEN)).toBe(95)
  const known = feed.site.cells.map(({ cell }) => cell)
  const scores = (): Promise<(number | undefined)[]> =>
    page.evaluate((cells) => cells.map((cell) => window.hexwatchMap!.inspect(cell)?.score), known)
  const before = await scores()
  const place = await middleOf(page, OPEN)
  const shade = lightness((await pixelsAround(page, place.x, place.y, 1)).at(0, 0))

  await page.evaluate(() => {
    const context = document.querySelector('canvas')!.getContext('webgl2')!
    const lost = context.getExtension('WEBGL_lose_context')!
    lost.loseContext()
    setTimeout(() => lost.restoreContext(), 500)
  })
  await page.waitForTimeout(200)
  // What changes while the context is lost must not be missed either.
  const changed = known.find((cell) => cell !== OPEN)!
  feed.updateCells([update(changed, 77)])
  before[known.indexOf(changed)] = 77
  await page.waitForTimeout(300)
  await expect.poll(scores, { timeout: 3_000, intervals: [100] }).toEqual(before)
  await expect
    .poll(async () => lightness((await pixelsAround(page, place.x, place.y, 1)).at(0, 0)), { timeout: 3_000 })
    .toBeCloseTo(shade, -1)
})

test('a cell outside of the site gets its place when events reach it, and the others keep their scores', async ({
  page,
  feed,
  address,
}) => {
  const outside = feed.site.cells.splice(40, 1)[0]!
  feed.cells.delete(outside.cell)
  await openWall(page, address)
  feed.updateCells([update(OPEN, 95)])
  await expect.poll(() => scoreOnMap(page, OPEN)).toBe(95)
  feed.site.cells.splice(40, 0, outside)
  feed.updateCells([update(outside.cell, 61)])
  await expect.poll(() => scoreOnMap(page, outside.cell), { timeout: 8_000 }).toBe(61)
  expect(await scoreOnMap(page, OPEN)).toBe(95)
})

test('when updates come faster than frames the newest is shown and none is queued', async ({ page, feed, address }) => {
  await openWall(page, address)
  for (let score = 1; score <= 90; score += 1) feed.updateCells([update(OPEN, score)])
  await expect.poll(() => scoreOnMap(page, OPEN), { timeout: 1_000, intervals: [20] }).toBe(90)
})
