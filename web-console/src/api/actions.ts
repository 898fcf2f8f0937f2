/** What a person can do to an alarm; each is a path of the API. */
export type Verb = 'ack' | 'unack' | 'comment' | 'shelve' | 'unshelve'

export interface ActionBody {
  note?: string
  /** Until when it is shelved; RFC 3339. */
  until?: string
}

/** Done, or why not: in the server's words, or null where it could not be reached. */
export type Outcome = { done: true } | { done: false; reason: string | null }

/** `POST /api/v1/alarms/{id}/{verb}`. The change itself comes back over the socket, for everybody alike. */
export async function act(alarmId: string, verb: Verb, body: ActionBody = {}): Promise<Outcome> {
  try {
    const answer = await fetch(`/api/v1/alarms/${encodeURIComponent(alarmId)}/${verb}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    return answer.ok ? { done: true } : { done: false, reason: await problemOf(answer) }
  } catch {
    return { done: false, reason: null }
  }
}

/** The sentence of a problem+json, else the status. */
export async function problemOf(answer: Response): Promise<string> {
  const problem = (await answer.json().catch(() => null)) as { detail?: string; title?: string } | null
  return problem?.detail ?? problem?.title ?? `HTTP ${answer.status}`
}
