/** How long it has stood, as `mm:ss`, from an hour on as `h:mm:ss`. */
export function age(raisedAt: number, now: number): string {
  const seconds = Math.max(0, Math.floor((now - raisedAt) / 1000))
  const two = (part: number): string => String(part).padStart(2, '0')
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60]
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${two(minutes)}:${two(seconds % 60)}`
}
