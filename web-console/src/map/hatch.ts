/** The side of the pattern in pixels; a power of two, as WebGL's patterns want. */
const SIDE = 16
const STROKE = 2.4
const STRENGTH = 0.8

/**
 * The hatching of a cell about which nothing is known: pale diagonal strokes on nothing, unlike any colour of the ramp,
 * and seamless at its edges.
 */
export function hatch(): { width: number; height: number; data: Uint8Array } {
  const data = new Uint8Array(SIDE * SIDE * 4)
  for (let y = 0; y < SIDE; y += 1) {
    for (let x = 0; x < SIDE; x += 1) {
      const across = (x + y) % (SIDE / 2)
      const distance = Math.min(across, SIDE / 2 - across)
      const cover = Math.max(0, Math.min(1, STROKE / 2 + 0.5 - distance))
      // The image is premultiplied: the colour goes down with the cover.
      data.set(
        [150, 160, 168, 255].map((channel) => Math.round(channel * cover * STRENGTH)),
        (y * SIDE + x) * 4,
      )
    }
  }
  return { width: SIDE, height: SIDE, data }
}
