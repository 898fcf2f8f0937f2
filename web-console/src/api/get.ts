/** A door's answer; `status` 0 stands for a server that could not be reached. */
export type Answer<T> = { ok: true; value: T } | { ok: false; status: number; reason: string | null }

/** What the server's errors look like: problem+json, RFC 9457. */
interface Problem {
  title?: string
  detail?: string
  fix?: string
}

export async function ask<T>(path: string, request: RequestInit = {}): Promise<Answer<T>> {
  try {
    const answer = await fetch(path, request)
    if (!answer.ok) return { ok: false, status: answer.status, reason: await reasonOf(answer) }
    return { ok: true, value: (answer.status === 204 ? null : await answer.json()) as T }
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    return { ok: false, status: 0, reason: null }
  }
}

export function post<T>(path: string, body: object, signal?: AbortSignal): Promise<Answer<T>> {
  const headers = { 'content-type': 'application/json' }
  return ask<T>(path, { method: 'POST', headers, body: JSON.stringify(body), ...(signal ? { signal } : {}) })
}

/** What was wrong and what to do about it, in the server's words. */
async function reasonOf(answer: Response): Promise<string> {
  const problem = (await answer.json().catch(() => null)) as Problem | null
  const said = [problem?.detail ?? problem?.title, problem?.fix].filter(Boolean).join('; ')
  return said || `HTTP ${answer.status}`
}
