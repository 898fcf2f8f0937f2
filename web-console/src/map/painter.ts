import type { CellUpdate } from '../contract'
import type { CellCache } from '../store/cells'
import { UNKNOWN } from './ramp'

/** What the painter needs of a map: no more than this, so that it is tested without one. */
export interface Canvas {
  /** False while the graphics context is lost or the map's sources are not there. */
  canPaint(): boolean
  paint(id: number, score: number): void
}

/** Brings the cells' newest scores onto the map, at most once a frame, however often they change. */
export class Painter {
  #scheduled = false
  /** Frames in which something was painted. */
  painted = 0

  constructor(
    private readonly cache: CellCache,
    private readonly idOf: (cell: string) => number | undefined,
    private readonly canvas: Canvas,
    private readonly nextFrame: (work: () => void) => void = (work) => void requestAnimationFrame(work),
  ) {}

  /** Something has changed; it will be on the map with the next frame. */
  schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.nextFrame(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  /** The map has forgotten everything: paint all of it again. */
  repaint(): void {
    this.cache.soil()
    this.schedule()
  }

  #flush(): void {
    if (!this.canvas.canPaint()) return
    for (const [cell, update] of this.cache.takeDirty()) {
      const id = this.idOf(cell)
      if (id !== undefined) this.canvas.paint(id, scoreOf(update))
    }
    this.painted += 1
  }
}

/** Unknown is never low: a cell without a score, or that says so itself, has none. */
export function scoreOf(update: CellUpdate | undefined): number {
  return !update || update.score === null || update.level === 'unknown' ? UNKNOWN : update.score
}
