import type { SiteMap } from '../src/map/site-map'

declare global {
  interface Window {
    /** What the map shows, for tests and for people at the browser's console. */
    hexwatchMap?: SiteMap
  }
}
