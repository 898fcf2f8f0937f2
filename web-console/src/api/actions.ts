import type { Alarm } from '../contract'
import { post, type Answer } from './get'

/** What a person can do to an alarm; each is a path of the API. */
export type Verb = 'ack' | 'unack' | 'comment' | 'shelve' | 'unshelve'

export interface ActionBody {
  note?: string
  /** Until when it is shelved; RFC 3339. */
  until?: string
}

/** `POST /api/v1/alarms/{id}/{verb}`. The change itself comes back over the socket, for everybody alike. */
export function act(alarmId: string, verb: Verb, body: ActionBody = {}): Promise<Answer<Alarm>> {
  return post<Alarm>(`/api/v1/alarms/${encodeURIComponent(alarmId)}/${verb}`, body)
}
