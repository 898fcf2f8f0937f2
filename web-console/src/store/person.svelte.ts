import { ask, post } from '../api/get'

export type Permission =
  'watch' | 'explain' | 'read_alarms' | 'handle_alarms' | 'shelve_alarms' | 'judge_alarms' | 'run_sql' | 'read_system'

/** `GET /api/v1/me`. */
export interface Me {
  who: string
  role: 'operator' | 'wall' | 'police_liaison' | 'property' | 'grid_officer' | 'analyst' | 'admin'
  permissions: Permission[]
}

const UNAUTHENTICATED = 401

/** Who is at this screen. `out`: the server wants a login; `unknown`: it could not be asked yet. */
class Person {
  state = $state<'unknown' | 'in' | 'out'>('unknown')
  me = $state.raw<Me | null>(null)

  async check(): Promise<void> {
    const answer = await ask<Me>('/api/v1/me')
    if (answer.ok) this.#enter(answer.value)
    else if (answer.status === UNAUTHENTICATED) this.state = 'out'
  }

  /** Returns why not, where the token opens nothing. */
  async logIn(token: string): Promise<string | null> {
    const answer = await post<Me>('/api/v1/login', { token })
    if (!answer.ok) return answer.reason ?? ''
    this.#enter(answer.value)
    return null
  }

  async logOut(): Promise<void> {
    await post('/api/v1/logout', {})
    this.me = null
    await this.check()
  }

  may(permission: Permission): boolean {
    return this.me?.permissions.includes(permission) ?? false
  }

  #enter(me: Me): void {
    this.me = me
    this.state = 'in'
  }
}

export const person = new Person()
