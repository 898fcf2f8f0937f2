import type { Device, SiteMapData } from '../contract'
import { Live, socketUrl } from './live.svelte'

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
      try {
        const answer = await fetch('/api/v1/map')
        if (answer.ok) this.site = (await answer.json()) as SiteMapData
      } catch {
        // Not reachable: the connection light says so, and the next attempt follows.
      }
      if (!this.site) await new Promise((resolve) => setTimeout(resolve, MAP_RETRY_MS))
    }
  }
}

export function openSession(): Session {
  const session = new Session()
  session.start()
  return session
}
