import type { Device, SiteMapData } from '../contract'
import { ask } from '../api/get'
import { Live, socketUrl } from './live.svelte'
import { person } from './person.svelte'

const MAP_RETRY_MS = 2_000
const FALLBACK_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone

/** What every screen has: the live feed and the site it speaks of. */
export class Session {
  readonly live = new Live(socketUrl(location))
  site = $state.raw<SiteMapData | null>(null)
  devices = $derived(new Map<string, Device>((this.site?.devices ?? []).map((device) => [device.id, device])))
  timeZone = $derived(this.live.hello?.time_zone ?? this.site?.site.time_zone ?? FALLBACK_ZONE)
  #closed = false

  start(): void {
    // A server that was started anew may no longer know this login.
    this.live.onClosed = () => void person.check()
    this.live.start()
    void this.#fetchSite()
  }

  close(): void {
    this.#closed = true
    this.live.stop()
  }

  /** The server may not be up yet; a wall waits for it as long as it takes. */
  async #fetchSite(): Promise<void> {
    while (!this.#closed && !this.site) {
      const answer = await ask<SiteMapData>('/api/v1/map')
      if (answer.ok) this.site = answer.value
      else await new Promise((resolve) => setTimeout(resolve, MAP_RETRY_MS))
    }
  }
}

export function openSession(): Session {
  const session = new Session()
  session.start()
  return session
}
