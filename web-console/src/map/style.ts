import type { ExpressionSpecification, FilterSpecification, StyleSpecification } from 'maplibre-gl'
import type { FeatureCollection } from 'geojson'
import type { SiteMapData } from '../contract'
import { cellPolygons } from './geometry'
import { RAMP, UNKNOWN } from './ramp'

/** The one font of the console, for the map's labels too; see `fonts.css`. */
export const MAP_FONT = 'Noto Sans SC'
export const CELLS = 'cells'
export const HATCH = 'hatch'

const score: ExpressionSpecification = ['coalesce', ['feature-state', 'score'], UNKNOWN]
const isKnown: ExpressionSpecification = ['>=', score, 0]
const isGreen: FilterSpecification = [
  'in',
  ['downcase', ['to-string', ['get', 'class']]],
  ['literal', ['green', 'park', 'garden', 'public_green']],
]
const label: ExpressionSpecification = ['coalesce', ['get', 'name'], '']

/**
 * Our own map from the site's own files, drawn from the ground up: nothing of it comes from another host.
 * `scale` enlarges its letters.
 */
export function styleOf(site: SiteMapData, scale: number): StyleSpecification {
  return {
    version: 8,
    transition: { duration: 0, delay: 0 },
    sources: {
      zones: geojson(site.zones),
      grids: geojson(site.grids),
      roads: geojson(site.roads),
      buildings: geojson(site.buildings),
      [CELLS]: geojson(cellPolygons(site.cells)),
    },
    layers: [
      { id: 'ground', type: 'background', paint: { 'background-color': '#14181c' } },
      { id: 'zones', type: 'fill', source: 'zones', paint: { 'fill-color': '#1d2429' } },
      { id: 'green', type: 'fill', source: 'zones', filter: isGreen, paint: { 'fill-color': '#1f3a2b' } },
      {
        id: 'roads',
        type: 'line',
        source: 'roads',
        layout: { 'line-cap': 'round', 'line-join': 'round' },
        paint: {
          'line-color': '#323a41',
          'line-width': [
            'interpolate',
            ['exponential', 2],
            ['zoom'],
            13,
            1,
            16,
            ['coalesce', ['get', 'width_px'], 7],
            19,
            40,
          ],
        },
      },
      {
        id: 'buildings',
        type: 'fill',
        source: 'buildings',
        paint: { 'fill-color': '#333b42', 'fill-outline-color': '#48525a' },
      },
      {
        id: 'cells',
        type: 'fill',
        source: CELLS,
        paint: {
          'fill-color': [
            'interpolate',
            ['linear'],
            score,
            UNKNOWN,
            RAMP[0]![1],
            ...RAMP.flat(),
          ] as ExpressionSpecification,
          'fill-opacity': ['case', isKnown, ['interpolate', ['linear'], score, 0, 0.5, 30, 0.66, 100, 0.92], 0],
          'fill-antialias': false,
        },
      },
      {
        id: 'cells-unknown',
        type: 'fill',
        source: CELLS,
        paint: { 'fill-pattern': HATCH, 'fill-opacity': ['case', isKnown, 0, 1], 'fill-antialias': false },
      },
      // Buildings show through the cells that lie on them.
      {
        id: 'buildings-over',
        type: 'fill',
        source: 'buildings',
        paint: { 'fill-color': '#c3ced6', 'fill-opacity': 0.13 },
      },
      {
        id: 'buildings-edge',
        type: 'line',
        source: 'buildings',
        paint: { 'line-color': '#b4c0c8', 'line-opacity': 0.5, 'line-width': 1 },
      },
      {
        id: 'grids-edge',
        type: 'line',
        source: 'grids',
        paint: { 'line-color': '#7c8a94', 'line-width': 1.5, 'line-dasharray': [4, 3], 'line-opacity': 0.6 },
      },
      {
        id: 'building-names',
        type: 'symbol',
        source: 'buildings',
        minzoom: 15.5,
        layout: { 'text-field': label, 'text-font': [MAP_FONT], 'text-size': 12 * scale, 'text-padding': 6 },
        paint: { 'text-color': '#b9c4cb', 'text-halo-color': '#0f1316', 'text-halo-width': 1.5 },
      },
      {
        id: 'zone-names',
        type: 'symbol',
        source: 'zones',
        layout: {
          'text-field': label,
          'text-font': [MAP_FONT],
          'text-size': 17 * scale,
          'text-letter-spacing': 0.08,
          'text-max-width': 8,
        },
        paint: { 'text-color': '#dfe7ec', 'text-halo-color': '#0f1316', 'text-halo-width': 2 },
      },
    ],
  }
}

function geojson(data: FeatureCollection): StyleSpecification['sources'][string] {
  return { type: 'geojson', data }
}
