import { Map as GlMap, setWorkerUrl, type FitBoundsOptions, type GeoJSONSource, type LngLatLike } from 'maplibre-gl'
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url'
import type { SiteMapData } from '../contract'
import type { Language } from '../intl/index.svelte'
import type { CellCache } from '../store/cells'
import { boundsOf, cellIds, cellPolygons, middleOf, type Bounds } from './geometry'
import { hatch } from './hatch'
import { Painter } from './painter'
import { CELLS, HATCH, LABELLED, labelIn, MAP_FONT, styleOf } from './style'

// The page's content security policy allows workers of this host only, and no blobs.
setWorkerUrl(workerUrl)

/** Room left around the site, as a share of the map's smaller side; below, the legend needs more. */
const MARGIN = 0.045
const LEGEND = 0.09
/** The map's size for which the style's letters are made; on a larger wall they are larger. */
const DESIGNED_FOR_PX = { width: 960, height: 560 } as const
const SMALLEST_SCALE = 0.75

export interface SiteMapOptions {
  interactive: boolean
  language: Language
  /** Called whenever points of the site are elsewhere on the screen. */
  moved: () => void
}

/** The site's map with its cells, kept up to date from the cache and painted again after a lost graphics context. */
export class SiteMap {
  readonly #map: GlMap
  readonly #painter: Painter
  #ids: Map<string, number>
  #bounds: Bounds
  #site: SiteMapData
  #lost = false

  private constructor(
    container: HTMLElement,
    site: SiteMapData,
    cache: CellCache,
    { interactive, language, moved }: SiteMapOptions,
  ) {
    this.#ids = cellIds(site.cells)
    this.#site = site
    this.#bounds = boundsOf(site)
    const fit = (): FitBoundsOptions => {
      const side = Math.min(container.clientWidth, container.clientHeight)
      return {
        padding: { top: side * MARGIN, left: side * MARGIN, right: side * MARGIN, bottom: side * LEGEND },
        animate: false,
      }
    }
    this.#map = new GlMap({
      container,
      style: styleOf(site, scaleOf(container), language),
      bounds: this.#bounds,
      fitBoundsOptions: fit(),
      interactive,
      attributionControl: false,
      fadeDuration: 0,
      // Labels are drawn by the browser with the page's own font, so no glyph server is asked.
      localIdeographFontFamily: `'${MAP_FONT}', sans-serif`,
      pixelRatio: Math.min(devicePixelRatio, 2),
    })
    this.#painter = new Painter(cache, (cell) => this.#ids.get(cell), {
      canPaint: () => !this.#lost && this.#map.getSource(CELLS) !== undefined,
      paint: (id, score) => this.#map.setFeatureState({ source: CELLS, id }, { score }),
    })
    this.#map.setMissingStyleImageResolver((id) => {
      if (id === HATCH) this.#map.addImage(HATCH, hatch())
    })
    this.#map.on('webglcontextlost', () => (this.#lost = true))
    this.#map.on('webglcontextrestored', () => {
      this.#lost = false
      this.#painter.repaint()
    })
    this.#map.on('styledata', () => this.#painter.repaint())
    this.#map.on('move', moved)
    this.#map.on('resize', () => this.#map.fitBounds(this.#bounds, fit()))
  }

  /** Waits for the font first: labels made without it would be boxes on a machine that has no Chinese font. */
  static async open(
    container: HTMLElement,
    site: SiteMapData,
    cache: CellCache,
    options: SiteMapOptions,
  ): Promise<SiteMap> {
    await document.fonts.load(`400 16px '${MAP_FONT}'`, '网格 A1')
    const map = new SiteMap(container, site, cache, options)
    await map.#map.once('load')
    return map
  }

  /** Names places in `language`, where the site does. */
  speak(language: Language): void {
    for (const layer of LABELLED) this.#map.setLayoutProperty(layer, 'text-field', labelIn(language))
  }

  /** Takes the cells of `site`, where they are others than before. Scores are painted again: ids have moved. */
  showCells(site: SiteMapData): void {
    if (site === this.#site) return
    this.#site = site
    this.#ids = cellIds(site.cells)
    this.#bounds = boundsOf(site)
    this.#map.removeFeatureState({ source: CELLS })
    void this.#map.getSource<GeoJSONSource>(CELLS)?.setData(cellPolygons(site.cells))
    this.#map.resize()
    this.#painter.repaint()
  }

  cellsChanged(): void {
    this.#painter.schedule()
  }

  /** Where a point of the site is on the screen, in pixels from the map's upper left corner. */
  project(place: LngLatLike): { x: number; y: number } {
    return this.#map.project(place)
  }

  /** In pixels. */
  get size(): { width: number; height: number } {
    const { clientWidth, clientHeight } = this.#map.getContainer()
    return { width: clientWidth, height: clientHeight }
  }

  /** What the map holds and shows for a cell; for tests and for people at the browser's console. */
  inspect(cell: string): { score: number | undefined; x: number; y: number } | null {
    const id = this.#ids.get(cell)
    if (id === undefined || !this.#map.getSource(CELLS)) return null
    const middle = middleOf(this.#site.cells[id]!.ring)
    return { score: this.#map.getFeatureState({ source: CELLS, id })?.score, ...this.project(middle) }
  }

  get framesPainted(): number {
    return this.#painter.painted
  }

  close(): void {
    this.#map.remove()
  }
}

function scaleOf({ clientWidth, clientHeight }: HTMLElement): number {
  const { width, height } = DESIGNED_FOR_PX
  return Math.max(SMALLEST_SCALE, Math.min(clientWidth / width, clientHeight / height))
}
