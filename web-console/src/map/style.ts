import type { ExpressionSpecification, StyleSpecification } from 'maplibre-gl'
import type { FeatureCollection } from 'geojson'
import type { SiteMapData } from '../contract'
import type { Language } from '../intl/index.svelte'
import { boundsOf, cellPolygons } from './geometry'
import { RAMP, UNKNOWN } from './ramp'

/** The one font of the console, for the map's labels too; see `fonts.css`. */
export const MAP_FONT = 'Noto Sans SC'
export const CELLS = 'cells'
export const HATCH = 'hatch'

const score: ExpressionSpecification = ['coalesce', ['feature-state', 'score'], UNKNOWN]
const isKnown: ExpressionSpecification = ['>=', score, 0]
const zoneColour: ExpressionSpecification = [
  'match',
  ['downcase', ['to-string', ['get', 'class']]],
  ['green', 'park', 'garden'],
  '#1f3a2b',
  'water',
  '#1b3346',
  '#1d2429',
]

/** A feature's name in `language`, where the site gives it, else its only name. */
export function labelIn(language: Language): ExpressionSpecification {
  return ['coalesce', ['get', language === 'en' ? 'name_en' : 'name_zh'], ['get', 'name'], '']
}
export const LABELLED = ['zone-names', 'building-names'] as const

/** Pixels a metre at zoom 0 on the equator: the world is 512 pixels and 40,075 km around. */
const PIXELS_PER_METRE = 512 / 40_075_017
const DEFAULT_ROAD_M = 6

/** A width in metres as it is at every zoom at latitude `lat`: pixels double with each zoom. */
function metres(width: ExpressionSpecification, lat: number): ExpressionSpecification {
  const at = (zoom: number): ExpressionSpecification => [
    '*',
    width,
    (PIXELS_PER_METRE * 2 ** zoom) / Math.cos((lat * Math.PI) / 180),
  ]
  return ['interpolate', ['exponential', 2], ['zoom'], 0, at(0), 22, at(22)]
}

/**
 * Our own map from the site's own files, drawn from the ground up: nothing of it comes from another host.
 * `scale` enlarges its letters.
 */
export function styleOf(site: SiteMapData, scale: number, language: Language): StyleSpecification {
  const label = labelIn(language)
  const [, south, , north] = boundsOf(site)
  const lat = (south + north) / 2
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
      { id: 'zones', type: 'fill', source: 'zones', paint: { 'fill-color': zoneColour } },
      {
        id: 'roads',
        type: 'line',
        source: 'roads',
        layout: { 'line-cap': 'round', 'line-join': 'round' },
        paint: {
          'line-color': '#323a41',
          'line-width': metres(['coalesce', ['get', 'width'], DEFAULT_ROAD_M], lat),
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
          'text-size': 15 * scale,
          'text-letter-spacing': 0.04,
          'text-max-width': 8,
        },
        paint: { 'text-color': '#cfd8de', 'text-halo-color': '#0f1316', 'text-halo-width': 2 },
      },
    ],
  }
}

function geojson(data: FeatureCollection): StyleSpecification['sources'][string] {
  return { type: 'geojson', data }
}
