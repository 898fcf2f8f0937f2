/** A mark on the screen, in pixels. */
export interface Mark {
  x: number
  y: number
  size: number
}

const ROUNDS = 12
/** Room between two marks, as a share of their size: for their rings, and below each for its name. */
const ROOM = 1.35
const ROOM_BELOW = 1.45
/** Only so many are moved: the work grows with the square, and beyond it nobody could tell them apart anyway. */
const MOST = 150

/**
 * Moves marks that would cover each other apart. The earlier a mark stands in the list the less it gives way, so the
 * most urgent ones stay where they belong; and the same marks always come out the same.
 */
export function apart<M extends Mark>(marks: readonly M[]): M[] {
  const moved = marks.slice(0, MOST).map((mark) => ({ ...mark }))
  for (let round = 0; round < ROUNDS; round += 1) {
    let settled = true
    for (const [index, mark] of moved.entries()) {
      for (const earlier of moved.slice(0, index)) settled = !giveWay(mark, earlier, index) && settled
    }
    if (settled) break
  }
  return [...moved, ...marks.slice(MOST)]
}

/** Keeps a mark in sight: what happens beyond the map's edge is shown at that edge, never left out. */
export function within<M extends Mark>(mark: M, { width, height }: { width: number; height: number }): M {
  const inside = (at: number, length: number): number => Math.max(mark.size / 2, Math.min(length - mark.size / 2, at))
  return { ...mark, x: inside(mark.x, width), y: inside(mark.y, height) }
}

/** Pushes `mark` away from `earlier`; returns whether it had to. */
function giveWay(mark: Mark, earlier: Mark, index: number): boolean {
  const wanted = ((mark.size + earlier.size) / 2) * ROOM
  let [dx, dy] = [mark.x - earlier.x, (mark.y - earlier.y) / ROOM_BELOW]
  const distance = Math.hypot(dx, dy)
  if (distance >= wanted) return false
  if (distance < 1) {
    // Exactly on top: take a direction that differs from mark to mark.
    dx = Math.cos(index * 2.4)
    dy = Math.sin(index * 2.4)
  } else {
    dx /= distance
    dy /= distance
  }
  mark.x = earlier.x + dx * (wanted + 0.5)
  mark.y = earlier.y + dy * ROOM_BELOW * (wanted + 0.5)
  return true
}
