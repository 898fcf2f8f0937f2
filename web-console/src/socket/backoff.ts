/** The longest pause between two attempts to connect: a wall is back within 5 s of the server being up. */
export const LONGEST_MS = 2_500
const FIRST_MS = 250

/**
 * The pause before attempt number `attempt` (from 0), in milliseconds. Half of it is `jitter` (0 to 1), so that the
 * screens of a control room do not all knock at the same instant.
 */
export function pauseBefore(attempt: number, jitter: number): number {
  const whole = Math.min(FIRST_MS * 2 ** Math.min(attempt, 10), LONGEST_MS)
  return whole / 2 + (whole / 2) * jitter
}
