import type { Page } from '@playwright/test'
import { PNG } from 'pngjs'

export interface Pixels {
  width: number
  height: number
  at(x: number, y: number): [number, number, number]
}

/** What is really on the screen in a rectangle around a point of the page. */
export async function pixelsAround(page: Page, x: number, y: number, side: number): Promise<Pixels> {
  const clip = { x: Math.round(x - side / 2), y: Math.round(y - side / 2), width: side, height: side }
  const png = PNG.sync.read(await page.screenshot({ clip }))
  return {
    width: png.width,
    height: png.height,
    at: (px, py) =>
      [...png.data.subarray((py * png.width + px) * 4, (py * png.width + px) * 4 + 3)] as [number, number, number],
  }
}

/** Where the middle of a cell is on the page. */
export async function middleOf(page: Page, cell: string): Promise<{ x: number; y: number }> {
  const box = (await page.getByTestId('map').boundingBox())!
  const found = await page.evaluate((name) => window.hexwatchMap!.inspect(name), cell)
  if (!found) throw new Error(`the map does not know the cell ${cell}`)
  return { x: box.x + found.x, y: box.y + found.y }
}

export function lightness([r, g, b]: readonly [number, number, number]): number {
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}

/** How much the lightness varies over the pixels: near nothing on a plain fill, a lot on a hatching. */
export function variation(pixels: Pixels): number {
  const all: number[] = []
  for (let y = 0; y < pixels.height; y += 1)
    for (let x = 0; x < pixels.width; x += 1) all.push(lightness(pixels.at(x, y)))
  const mean = all.reduce((sum, value) => sum + value, 0) / all.length
  return Math.sqrt(all.reduce((sum, value) => sum + (value - mean) ** 2, 0) / all.length)
}
