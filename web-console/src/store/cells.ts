import type { CellUpdate, Cells } from '../contract'

/**
 * The newest update of each cell, and which cells have changed since they were last painted. However fast updates
 * come, there is one entry a cell: the newest wins and nothing queues. The map is painted from here again whenever
 * the graphics context has lost what it showed.
 */
export class CellCache {
  readonly #cells = new Map<string, CellUpdate>()
  #dirty = new Set<string>()

  apply({ full, cells }: Pick<Cells, 'full' | 'cells'>): void {
    if (full) {
      for (const cell of this.#cells.keys()) this.#dirty.add(cell)
      this.#cells.clear()
    }
    for (const update of cells) {
      this.#cells.set(update.cell, update)
      this.#dirty.add(update.cell)
    }
  }

  get(cell: string): CellUpdate | undefined {
    return this.#cells.get(cell)
  }

  get size(): number {
    return this.#cells.size
  }

  values(): IterableIterator<CellUpdate> {
    return this.#cells.values()
  }

  /** Everything must be painted again. */
  soil(): void {
    for (const cell of this.#cells.keys()) this.#dirty.add(cell)
  }

  /** Hands out the changed cells, once; undefined stands for a cell that is gone. */
  takeDirty(): [string, CellUpdate | undefined][] {
    const taken = [...this.#dirty].map((cell): [string, CellUpdate | undefined] => [cell, this.#cells.get(cell)])
    this.#dirty = new Set()
    return taken
  }
}
