import { describe, expect, test } from 'vitest'
import { apart, within } from '../../src/map/apart'
import { hatch } from '../../src/map/hatch'
import { Painter, scoreOf } from '../../src/map/painter'
import { colourAt } from '../../src/map/ramp'
import { CellCache } from '../../src/store/cells'
import { cell } from './factory'

/** Linear light of a channel. */
const light = (channel: number): number =>
  channel / 255 <= 0.04045 ? channel / 255 / 12.92 : ((channel / 255 + 0.055) / 1.055) ** 2.4
const luminance = ([r, g, b]: readonly number[]): number => 0.2126 * r! + 0.7152 * g! + 0.0722 * b!
const lightness = (y: number): number => (y > 0.008856 ? 116 * Math.cbrt(y) - 16 : 903.3 * y)

/** Machado et al. 2009, severity 1, in linear light. */
const SEEN_BY: Record<string, number[][]> = {
  'full colour vision': [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  tritanopia: [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
}

describe('the heat ramp', () => {
  test.each(Object.entries(SEEN_BY))('only ever gets lighter, seen with %s', (_name, matrix) => {
    const seen = Array.from({ length: 101 }, (_, score) => {
      const linear = colourAt(score).map(light)
      return lightness(luminance(matrix.map((row) => row.reduce((sum, weight, i) => sum + weight * linear[i]!, 0))))
    })
    for (let score = 5; score <= 100; score += 5) expect(seen[score]! - seen[score - 5]!).toBeGreaterThan(1)
    expect(seen[100]! - seen[0]!).toBeGreaterThan(55)
  })

  test('stays within blue and teal: red is never the strongest channel', () => {
    for (let score = 0; score <= 100; score += 1) {
      const [r, g, b] = colourAt(score)
      expect(r).toBeLessThan(Math.min(g, b))
    }
  })
})

describe('the hatching', () => {
  test('continues over its own edges and leaves ground free', () => {
    const { width, height, data } = hatch()
    const alpha = (x: number, y: number): number => data[((y % height) * width + (x % width)) * 4 + 3]!
    for (let i = 0; i < width; i += 1) expect(alpha(width, i)).toBe(alpha(width - 1, (i + 1) % height))
    const alphas = Array.from({ length: width * height }, (_, i) => data[i * 4 + 3]!)
    expect(alphas.filter((a) => a === 0).length).toBeGreaterThan(width * height * 0.4)
    expect(Math.max(...alphas)).toBeGreaterThan(150)
  })
})

describe('the painter', () => {
  function setUp(): {
    cache: CellCache
    painter: Painter
    painted: [number, number][]
    frames: (() => void)[]
    lost: { now: boolean }
  } {
    const cache = new CellCache()
    const painted: [number, number][] = []
    const frames: (() => void)[] = []
    const lost = { now: false }
    const canvas = { canPaint: () => !lost.now, paint: (id: number, score: number) => void painted.push([id, score]) }
    const painter = new Painter(
      cache,
      (cell) => ['a', 'b'].indexOf(cell),
      canvas,
      (work) => void frames.push(work),
    )
    return { cache, painter, painted, frames, lost }
  }

  test('however many updates come before a frame, the newest alone is painted', () => {
    const { cache, painter, painted, frames } = setUp()
    for (const score of [1, 2, 3]) {
      cache.apply({ full: false, cells: [cell('a', score)] })
      painter.schedule()
    }
    expect(frames).toHaveLength(1)
    frames[0]!()
    expect(painted).toEqual([[0, 3]])
  })

  test('nothing is painted on a lost context, and all of it once that is back', () => {
    const { cache, painter, painted, frames, lost } = setUp()
    cache.apply({ full: true, cells: [cell('a', 1), cell('b', 2)] })
    painter.schedule()
    frames.shift()!()
    lost.now = true
    cache.apply({ full: false, cells: [cell('b', 9)] })
    painter.schedule()
    frames.shift()!()
    expect(painted).toHaveLength(2)
    lost.now = false
    painter.repaint()
    frames.shift()!()
    expect(painted.slice(2).sort()).toEqual([
      [0, 1],
      [1, 9],
    ])
  })

  test('a cell that a full list leaves out becomes unknown, not low', () => {
    const { cache, painter, painted, frames } = setUp()
    cache.apply({ full: true, cells: [cell('a', 50)] })
    cache.apply({ full: true, cells: [] })
    painter.schedule()
    frames[0]!()
    expect(painted).toEqual([[0, -1]])
  })

  test('unknown is not zero', () => {
    expect(scoreOf(cell('a', null))).toBe(-1)
    expect(scoreOf({ ...cell('a', 0), level: 'unknown' })).toBe(-1)
    expect(scoreOf(cell('a', 0))).toBe(0)
  })
})

describe('marks on the map', () => {
  test('never cover each other, and the first stays where it is', () => {
    const marks = apart([
      { x: 100, y: 100, size: 40 },
      { x: 100, y: 100, size: 30 },
      { x: 110, y: 100, size: 30 },
    ])
    expect(marks[0]).toMatchObject({ x: 100, y: 100 })
    for (const [i, a] of marks.entries()) {
      for (const b of marks.slice(i + 1))
        expect(Math.hypot(a.x - b.x, a.y - b.y)).toBeGreaterThanOrEqual((a.size + b.size) / 2)
    }
  })

  test('stay in sight at the edge of the map', () => {
    const map = { width: 400, height: 300 }
    expect(within({ x: -90, y: 900, size: 40 }, map)).toEqual({ x: 20, y: 280, size: 40 })
    expect(within({ x: 100, y: 100, size: 40 }, map)).toEqual({ x: 100, y: 100, size: 40 })
  })
})
