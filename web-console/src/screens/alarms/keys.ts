export type KeyCommand = 'next' | 'previous' | 'ack' | 'comment' | 'shelve' | 'undo' | 'help'

export const KEYS: readonly (readonly [key: string, command: KeyCommand])[] = [
  ['j', 'next'],
  ['k', 'previous'],
  ['a', 'ack'],
  ['c', 'comment'],
  ['s', 'shelve'],
  ['z', 'undo'],
  ['?', 'help'],
]

/** What a key asks for; nothing while something is being typed, or with a modifier that belongs to the browser. */
export function keyOf(
  event: Pick<KeyboardEvent, 'key' | 'ctrlKey' | 'metaKey' | 'altKey' | 'target'>,
): KeyCommand | null {
  if (event.ctrlKey || event.metaKey || event.altKey) return null
  const typing = (event.target as HTMLElement | null)?.closest?.('input:not([type=checkbox]), textarea, select')
  if (typing) return null
  return KEYS.find(([key]) => key === event.key.toLowerCase())?.[1] ?? null
}
