import type { CellUpdate, Device, SiteMapData } from '../contract'
import { ask } from '../api/get'
import { Live, socketUrl } from './live.svelte'
import { person } from './person.svelte'

const MAP_RETRY_MS = 2_000
/** Cells that the map lacks are asked for at most so often. */
const MAP_AGAIN_MS = 5_000
const FALLBACK_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone

/** What every screen has: the live feed and the site it speaks of. */
export class Session {
  readonly live = new Live(socketUrl(location))
  site = $state.raw<SiteMapData | null>(null)
  devices = $derived(new Map<string, Device>((this.site?.devices ?? []).map((device) => [device.id, device])))
  grids = $derived(
    new Map<string, string>(
      (this.site?.grids.features ?? []).map(({ properties }) => [properties?.['grid'], properties?.['name']]),
    ),
  )
  timeZone = $derived(this.live.hello?.time_zone ?? this.site?.site.time_zone ?? FALLBACK_ZONE)
  #closed = false
  /** Cells that have a place on the map, or for which one was asked. */
  #placed = new Set<string>()
  #asking = false

  start(): void {
    // A server that was started anew may no longer know this login.
    this.live.onClosed = () => void person.check()
    this.live.cellListeners.add((cells) => this.#place(cells))
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
      if (answer.ok) this.#show(answer.value)
      else await new Promise((resolve) => setTimeout(resolve, MAP_RETRY_MS))
    }
  }

  #show(site: SiteMapData): void {
    this.site = site
    for (const { cell } of site.cells) this.#placed.add(cell)
  }

  /** Events may reach cells outside of the site; their outlines are asked for once. */
  #place(cells: readonly CellUpdate[]): void {
    if (!this.site || this.#asking || cells.every(({ cell }) => this.#placed.has(cell))) return
    this.#asking = true
    setTimeout(async () => {
      for (const { cell } of this.live.cells.values()) this.#placed.add(cell)
      const answer = await ask<SiteMapData>('/api/v1/map')
      if (answer.ok && !this.#closed) this.#show(answer.value)
      this.#asking = false
    }, MAP_AGAIN_MS)
  }
}

export function openSession(): Session {
  const session = new Session()
  session.start()
  return session
}
