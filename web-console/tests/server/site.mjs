// @ts-check
// A small made-up community for the tests of the console: the same every time, and drawn to look like one.
import { cellToBoundary, cellToLatLng, polygonToCells } from 'h3-js'

const CENTRE = { lon: 121.4726, lat: 31.2304 }
const METRES_PER_DEGREE = 111_320
const TURN = (-7 * Math.PI) / 180
const RISK_RESOLUTION = 11

/** A point given in metres from the community's centre. @param {number} x @param {number} y @returns {[number, number]} */
export function at(x, y) {
  const [east, north] = [x * Math.cos(TURN) - y * Math.sin(TURN), x * Math.sin(TURN) + y * Math.cos(TURN)]
  return [
    CENTRE.lon + east / (METRES_PER_DEGREE * Math.cos((CENTRE.lat * Math.PI) / 180)),
    CENTRE.lat + north / METRES_PER_DEGREE,
  ]
}

/** @param {number} x @param {number} y @param {number} w @param {number} h */
function box(x, y, w, h) {
  return [at(x, y), at(x + w, y), at(x + w, y + h), at(x, y + h), at(x, y)]
}

/** @param {object} properties @param {[number, number][]} ring @returns {import('geojson').Feature} */
const polygon = (properties, ring) => ({
  type: 'Feature',
  properties,
  geometry: { type: 'Polygon', coordinates: [ring] },
})
/** @param {object} properties @param {[number, number][]} line @returns {import('geojson').Feature} */
const road = (properties, line) => ({
  type: 'Feature',
  properties,
  geometry: { type: 'LineString', coordinates: line },
})
/** @param {import('geojson').Feature[]} features @returns {import('geojson').FeatureCollection} */
const collection = (features) => ({ type: 'FeatureCollection', features })

const ZONES = [
  { name: '翠湖一期', class: 'residential', box: [-400, 20, 300, 200] },
  { name: '翠湖二期', class: 'residential', box: [110, 20, 290, 200] },
  { name: '中心花园', class: 'green', box: [-80, 20, 170, 200] },
  { name: '翠湖三期', class: 'residential', box: [-400, -220, 300, 220] },
  { name: '幼儿园', class: 'school', box: [-80, -220, 170, 130] },
  { name: '南广场', class: 'plaza', box: [-80, -70, 170, 70] },
  { name: '商业街', class: 'commercial', box: [110, -220, 290, 220] },
]

/** Rows of slabs, as such communities have them. @param {number[]} area @param {number} first */
function slabs([x = 0, y = 0, w = 0, h = 0], first) {
  const buildings = []
  const [across, down] = [Math.floor(w / 88), Math.floor(h / 62)]
  for (let row = 0; row < down; row += 1) {
    for (let column = 0; column < across; column += 1) {
      const number = first + row * across + column
      const left = x + 18 + column * ((w - 20) / across)
      const bottom = y + 22 + row * ((h - 10) / down)
      buildings.push(polygon({ name: `${number}号楼` }, box(left, bottom, 62, 17)))
    }
  }
  return buildings
}

/** @returns {import('../../src/contract').SiteMapData} */
export function site() {
  const zones = ZONES.map(({ box: [x = 0, y = 0, w = 0, h = 0], ...names }) =>
    polygon({ zone: names.name, site: 'cuihu', ...names }, box(x, y, w, h)),
  )
  const buildings = [
    ...slabs([-400, 20, 300, 200], 1),
    ...slabs([110, 20, 290, 200], 10),
    ...slabs([-400, -220, 300, 220], 19),
    polygon({ name: '教学楼' }, box(-50, -190, 110, 34)),
    polygon({ name: '活动室' }, box(-50, -140, 40, 30)),
    polygon({ name: '物业中心' }, box(125, -60, 70, 40)),
    polygon({ name: '超市' }, box(225, -70, 130, 56)),
    polygon({ name: '商铺东' }, box(130, -200, 250, 26)),
    polygon({ name: '商铺西' }, box(130, -140, 250, 26)),
  ]
  const roads = [
    road({ name: '翠湖路', width: 14 }, [at(-700, -242), at(700, -242)]),
    road({ name: '长宁路', width: 14 }, [at(-700, 242), at(700, 242)]),
    road({ name: '西环路', width: 14 }, [at(-422, -500), at(-422, 500)]),
    road({ name: '东环路', width: 14 }, [at(422, -500), at(422, 500)]),
    road({ width: 6 }, [at(-420, 10), at(420, 10)]),
    road({ width: 6 }, [at(-90, -242), at(-90, 242)]),
    road({ width: 6 }, [at(100, -242), at(100, 242)]),
  ]
  const grids = [
    polygon({ grid: 'G1', name: '第一网格', site: 'cuihu' }, box(-400, -220, 310, 440)),
    polygon({ grid: 'G2', name: '第二网格', site: 'cuihu' }, box(-90, -220, 190, 440)),
    polygon({ grid: 'G3', name: '第三网格', site: 'cuihu' }, box(100, -220, 300, 440)),
  ]
  const outline = box(-410, -228, 820, 456).map(([lon, lat]) => [lat, lon])
  const cells = polygonToCells(/** @type {[number, number][]} */ (outline), RISK_RESOLUTION)
    .sort()
    .map((cell) => ({
      cell,
      ring: cellToBoundary(cell, true)
        .slice(0, 6)
        .map(([lon, lat]) => /** @type {[number, number]} */ ([lon, lat])),
    }))
  return {
    site: { name: '翠湖社区', time_zone: 'Asia/Shanghai' },
    zones: collection(zones),
    grids: collection(grids),
    buildings: collection(buildings),
    roads: collection(roads),
    devices: DEVICES.map(({ x, y, ...device }) => ({ ...device, lon: at(x, y)[0], lat: at(x, y)[1] })),
    cells,
  }
}

export const DEVICES = [
  { id: 'ap-east-1', type: 'access_point', x: 395, y: 8, floor: 1 },
  { id: 'ap-07-2', type: 'access_point', x: -250, y: 170, floor: 1 },
  { id: 'gas-12-602', type: 'ch4', x: 240, y: 95, floor: 6 },
  { id: 'smoke-21-304', type: 'smoke', x: -290, y: -130, floor: 3 },
  { id: 'panic-k-1', type: 'panic', x: 0, y: -150, floor: 1 },
  { id: 'cam-gate-s', type: 'camera', x: 5, y: -225, floor: null },
  { id: 'cam-fire-3', type: 'camera', x: -130, y: 60, floor: null },
  { id: 'co-p2-7', type: 'co', x: 180, y: -90, floor: -2 },
  { id: 'lift-05-b', type: 'camera', x: -330, y: 95, floor: 1 },
  { id: 'cp-12', type: 'checkpoint', x: 300, y: -195, floor: 1 },
]

/** A quiet afternoon: low almost everywhere, two warm places, a corner whose sensors are silent. @param {string} cell @param {number} turn @returns {import('../../src/contract').CellUpdate} */
export function riskOf(cell, turn = 0) {
  const [lat, lon] = cellToLatLng(cell)
  const near = (/** @type {number} */ x, /** @type {number} */ y, /** @type {number} */ reach) => {
    const [there, height] = at(x, y)
    const metres = Math.hypot((lon - there) * METRES_PER_DEGREE * 0.855, (lat - height) * METRES_PER_DEGREE)
    return Math.exp(-((metres / reach) ** 2))
  }
  if (near(-385, -190, 95) > 0.45) return { cell, score: null, level: 'unknown', coverage: 0.1, n_events: 0 }
  const noise = (Number.parseInt(cell.slice(-7, -3), 16) * 37) % 100
  const swing = 1 + 0.08 * Math.sin(turn / 3)
  const score = Math.min(
    99,
    (noise * 0.09 + 92 * near(240, 95, 85) + 64 * near(390, 10, 75) + 40 * near(-290, -110, 110)) * swing,
  )
  const level = score >= 80 ? 'critical' : score >= 60 ? 'high' : score >= 30 ? 'elevated' : 'low'
  return { cell, score: Math.round(score * 100) / 100, level, coverage: 1, n_events: Math.round(score / 4) }
}
