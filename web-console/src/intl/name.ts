const BOTH = /^(.*\p{Script=Han}\S*)\s+(\P{Script=Han}*\p{Script=Latin}\P{Script=Han}*)$/u

/** A name that a site gives in both languages, as `中心公园 Central park`, in the one that is asked for. */
export function nameIn(language: 'zh-CN' | 'en', name: string): string {
  const [, chinese, english] = BOTH.exec(name) ?? []
  return (language === 'en' ? english : chinese) ?? name
}
