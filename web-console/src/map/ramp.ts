/**
 * The heat ramp: one blue-teal family whose lightness only rises, so that it reads the same under every kind of colour
 * vision and never meets the warm colours that belong to alarms.
 */
export const RAMP: readonly (readonly [score: number, colour: string])[] = [
  [0, '#16323c'],
  [25, '#1d4f5e'],
  [50, '#267d8e'],
  [75, '#4fb3bd'],
  [100, '#c2f2ee'],
]

/** The score that stands for "unknown" in a map expression; real scores are 0 to 100. */
export const UNKNOWN = -1

/** The colour of a score as the map mixes it, as `[red, green, blue]` of 0 to 255. */
export function colourAt(score: number): [number, number, number] {
  const upper = RAMP.findIndex(([stop]) => score <= stop)
  const [to, toColour] = RAMP[upper === -1 ? RAMP.length - 1 : upper]!
  const [from, fromColour] = RAMP[Math.max(0, (upper === -1 ? RAMP.length : upper) - 1)]!
  const share = to === from ? 1 : Math.min(1, Math.max(0, (score - from) / (to - from)))
  const [a, b] = [channels(fromColour), channels(toColour)]
  return [0, 1, 2].map((i) => Math.round(a[i]! + (b[i]! - a[i]!) * share)) as [number, number, number]
}

function channels(hex: string): [number, number, number] {
  const number = Number.parseInt(hex.slice(1), 16)
  return [number >> 16, (number >> 8) & 255, number & 255]
}
