import type { FeatureCollection } from 'geojson'
import type { SiteMapData } from '../contract'

/** How much of a cell is drawn, so that the map shows between the cells and each can be told from its neighbour. */
const INSET = 0.93

export type Bounds = [west: number, south: number, east: number, north: number]

/** The cells as polygons whose feature id is the cell's place in the list. */
export function cellPolygons(cells: SiteMapData['cells']): FeatureCollection {
  return {
    type: 'FeatureCollection',
    features: cells.map(({ ring }, id) => ({
      type: 'Feature',
      id,
      properties: {},
      geometry: { type: 'Polygon', coordinates: [closed(inset(ring))] },
    })),
  }
}

/** The feature id of each cell. */
export function cellIds(cells: SiteMapData['cells']): Map<string, number> {
  return new Map(cells.map(({ cell }, id) => [cell, id]))
}

/** What the map must show: the box of the cells, else the site's own. */
export function boundsOf(site: SiteMapData): Bounds {
  const points = site.cells.flatMap(({ ring }) => ring)
  if (points.length === 0) return site.site.bbox ?? [-180, -80, 180, 80]
  const bounds: Bounds = [Infinity, Infinity, -Infinity, -Infinity]
  for (const [lon, lat] of points) {
    bounds[0] = Math.min(bounds[0], lon)
    bounds[1] = Math.min(bounds[1], lat)
    bounds[2] = Math.max(bounds[2], lon)
    bounds[3] = Math.max(bounds[3], lat)
  }
  return bounds
}

/** The middle of a ring's corners; a corner that is repeated at the end counts once. */
export function middleOf(ring: [number, number][]): [number, number] {
  const corners = open(ring)
  const sum = corners.reduce(([x, y], [lon, lat]) => [x + lon, y + lat], [0, 0])
  return [sum[0] / corners.length, sum[1] / corners.length]
}

function inset(ring: [number, number][]): [number, number][] {
  const [lon, lat] = middleOf(ring)
  return ring.map(([x, y]) => [lon + (x - lon) * INSET, lat + (y - lat) * INSET])
}

function open(ring: [number, number][]): [number, number][] {
  return closed(ring).slice(0, -1)
}

function closed(ring: [number, number][]): [number, number][] {
  const [first, last] = [ring[0], ring.at(-1)]
  return first && last && (first[0] !== last[0] || first[1] !== last[1]) ? [...ring, first] : ring
}
