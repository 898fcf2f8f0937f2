import { en, type MessageKey } from './en'
import { fill } from './fill'
import { nameIn } from './name'
import { zhCN } from './zh-CN'

export type { MessageKey }
export type Language = 'zh-CN' | 'en'

const CATALOGUE: Record<Language, Record<MessageKey, string>> = { 'zh-CN': zhCN, en }
const STORED_AS = 'hexwatch.language'

/** The language of every screen: what was chosen here before, else what the browser prefers. */
class Speech {
  language = $state<Language>(preferred())

  switch(): void {
    this.language = this.language === 'en' ? 'zh-CN' : 'en'
    localStorage.setItem(STORED_AS, this.language)
  }
}

export const intl = new Speech()

/** The sentence in the present language. */
export function t(key: MessageKey, values: Record<string, string | number> = {}): string {
  return fill(CATALOGUE[intl.language][key], values)
}

/** A name of the site's own, in the present language where it gives both. */
export function nameOf(name: string): string {
  return nameIn(intl.language, name)
}

/** Whether `key` is a sentence of ours; the server names some of them. */
export function isMessageKey(key: string): key is MessageKey {
  return Object.hasOwn(en, key)
}

function preferred(): Language {
  const asked = new URLSearchParams(location.search).get('lang') ?? localStorage.getItem(STORED_AS)
  if (asked === 'en' || asked === 'zh-CN') return asked
  return navigator.language.toLowerCase().startsWith('zh') ? 'zh-CN' : 'en'
}

/** `14:03:27` in the site's zone. */
export function clockTime(at: number, timeZone: string): string {
  return new Intl.DateTimeFormat(intl.language, {
    timeZone,
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  }).format(at)
}

/** `Mon, Nov 23`, `11月23日周一`. */
export function calendarDate(at: number, timeZone: string): string {
  return new Intl.DateTimeFormat(intl.language, {
    timeZone,
    month: 'short',
    day: 'numeric',
    weekday: 'short',
  }).format(at)
}
