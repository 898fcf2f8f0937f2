// @ts-check
// A stand-in for the server, for what is hard to provoke from the real one: silence, gaps, doubled messages. It
// speaks the same protocol (`hexwatch_contract::live`) and serves the same build with the same security policy.
import { createReadStream, existsSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { extname, join, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { WebSocketServer } from 'ws'
import { alarm } from './alarms.mjs'
import { answerApi } from './api.mjs'
import { riskOf, site } from './site.mjs'

/** @typedef {import('../../src/contract').Alarm} Alarm */
/** @typedef {import('../../src/contract').Message} Message */

const DIST = resolve(fileURLToPath(import.meta.url), '../../../dist')
const TYPES = /** @type {Record<string, string>} */ ({
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
})
export const SECURITY_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

export class Feed {
  site = site()
  /** Every change of every alarm, in order: what a site's alarm log holds. @type {Alarm[]} */
  log = []
  /** @type {Map<string, import('../../src/contract').CellUpdate>} */
  cells = new Map()
  mode = /** @type {'live' | 'demo' | 'replay'} */ ('live')
  /** Whether anything is said on open sockets. */
  speaking = true
  /** Whether one may come in without a login. */
  admits = true
  /** @type {import('../../src/store/person.svelte').Me} */
  me = {
    who: 'op-9',
    role: 'operator',
    permissions: [
      'watch',
      'explain',
      'read_alarms',
      'handle_alarms',
      'shelve_alarms',
      'judge_alarms',
      'run_sql',
      'read_system',
    ],
  }
  /** Whether sockets may be opened. */
  accepting = true
  /** When data came last; null: it always just came. @type {number | null} */
  starvedSince = null
  /** A client further behind gets what stands instead of every change. */
  mostChanges = Infinity
  /** The `after` of each subscription that came. @type {unknown[]} */
  subscriptions = []
  /** Requests to change an alarm that came. @type {{ path: string, body: any }[]} */
  posts = []
  health = /** @type {import('../../src/contract').Health} */ ({
    ingest: 'live',
    sources: ['access', 'camera-alert', 'iot', 'panic', 'patrol', 'dispatch'].map((topic) => ({
      topic,
      partition: 0,
      lag: 0,
      last_time: new Date().toISOString(),
      state: topic === 'patrol' ? 'idle' : 'live',
    })),
    silent_devices: 4,
    accounts: {
      access: { read: 120_480, accepted: 120_211, duplicate: 240, late: 12, dead_letter: 17 },
      iot: { read: 884_102, accepted: 884_077, duplicate: 20, late: 5, dead_letter: 0 },
    },
  })

  #http = createServer((request, response) => this.#answer(request, response))
  #sockets = new WebSocketServer({ noServer: true })
  /** @type {NodeJS.Timeout | undefined} */
  #pulse

  constructor() {
    this.#http.on('upgrade', (request, socket, head) => {
      if (!this.accepting || !this.admits || request.url !== '/ws') return void socket.destroy()
      this.#sockets.handleUpgrade(request, socket, head, (ws) => this.#greet(ws))
    })
    for (const { cell } of this.site.cells) this.cells.set(cell, riskOf(cell))
  }

  /** @param {number} port @returns {Promise<string>} the address */
  async listen(port = 0) {
    await new Promise((done) => this.#http.listen(port, '127.0.0.1', () => done(undefined)))
    this.#pulse = setInterval(() => this.#say(this.#heartbeat()), 500)
    const address = this.#http.address()
    return `http://127.0.0.1:${typeof address === 'object' ? address?.port : port}`
  }

  async close() {
    clearInterval(this.#pulse)
    this.drop()
    this.#http.closeAllConnections()
    await new Promise((done) => this.#http.close(() => done(undefined)))
  }

  now() {
    return Date.now()
  }

  /** Closes every socket, as a killed server does. */
  drop() {
    for (const socket of this.#sockets.clients) socket.terminate()
  }

  get connected() {
    return this.#sockets.clients.size
  }

  /**
   * Logs and sends a new alarm; returns its id.
   * @param {Partial<Alarm> & { rule: string, priority: Alarm['priority'] }} wanted
   * @param {string} [deviceId] @param {number} [when] @param {{ sent?: boolean }} [how]
   */
  raise(wanted, deviceId, when = this.now(), how = {}) {
    const device = this.site.devices.find(({ id }) => id === deviceId)
    return this.#record(alarm(wanted, device, when), how)
  }

  /** Logs and sends a change of an alarm. @param {string} id @param {Partial<Alarm>} change @param {{ sent?: boolean }} [how] */
  change(id, change, how = {}) {
    const present = this.log.findLast((entry) => entry.alarm_id === id)
    if (!present) throw new Error(`no alarm ${id}`)
    const time = new Date(this.now()).toISOString()
    return this.#record({ ...present, note: null, ...change, changed_at: time, emitted_at: time }, how)
  }

  /** Sends what was logged last once more. */
  repeatLast() {
    const last = this.log.at(-1)
    if (last) this.#say({ type: 'alarm', ...last })
  }

  /** @param {import('../../src/contract').CellUpdate[]} cells */
  updateCells(cells) {
    for (const cell of cells) this.cells.set(cell.cell, cell)
    this.#say({ type: 'cells', watermark: new Date(this.now()).toISOString(), full: false, cells })
  }

  sayHealth() {
    this.#say({ type: 'health', ...this.health })
  }

  /** Data comes again, and the first sign of it at once. */
  feedAgain() {
    this.speaking = true
    this.starvedSince = null
    this.#say(this.#heartbeat())
  }

  /** @param {Omit<Alarm, 'seq'>} change @param {{ sent?: boolean }} how */
  #record(change, { sent = true }) {
    const complete = { ...change, seq: this.log.length + 1 }
    this.log.push(complete)
    if (sent) this.#say({ type: 'alarm', ...complete })
    return change.alarm_id
  }

  /** @param {import('ws').WebSocket} socket */
  #greet(socket) {
    socket.on('message', (bytes) => {
      const subscription = JSON.parse(String(bytes))
      this.subscriptions.push(subscription.after)
      /** @type {Message[]} */
      const opening = [
        { type: 'hello', version: '0.1.0', mode: this.mode, time_zone: 'Asia/Shanghai' },
        { type: 'cells', watermark: new Date(this.now()).toISOString(), full: true, cells: [...this.cells.values()] },
        ...this.#changesFor(subscription.after?.cuihu).map(
          (change) => /** @type {Message} */ ({ type: 'alarm', ...change }),
        ),
        { type: 'resumed', latest_seq: { cuihu: this.log.length } },
        { type: 'health', ...this.health },
        this.#heartbeat(),
      ]
      if (this.speaking) for (const message of opening) socket.send(JSON.stringify(message))
    })
  }

  /** Every change after `after`; what stands, where there is none or it is too long ago. @param {number | undefined} after */
  #changesFor(after) {
    if (after !== undefined && this.log.length - after <= this.mostChanges)
      return this.log.filter(({ seq }) => seq > after)
    const latest = new Map(this.log.map((change) => [change.alarm_id, change]))
    return [...latest.values()].filter(({ state }) => state !== 'normal').sort((a, b) => a.seq - b.seq)
  }

  /** @returns {Message} */
  #heartbeat() {
    const age = this.starvedSince === null ? 0.2 : (this.now() - this.starvedSince) / 1000
    return {
      type: 'heartbeat',
      now: new Date(this.now()).toISOString(),
      watermark: new Date(this.now() - 10_000).toISOString(),
      data_age_s: age,
      feed: age >= 10 ? 'lost' : age >= 3 ? 'delayed' : 'live',
      unack: {},
      latest_seq: { cuihu: this.log.length },
    }
  }

  /** @param {Message} message */
  #say(message) {
    if (!this.speaking) return
    for (const socket of this.#sockets.clients) socket.send(JSON.stringify(message))
  }

  /** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
  #answer(request, response) {
    const url = new URL(request.url ?? '/', 'http://localhost')
    const path = url.pathname
    if (path.startsWith('/api/')) return void answerApi(this, url, request, response)
    const file = join(DIST, path)
    const found =
      file.startsWith(DIST + sep) && existsSync(file) && statSync(file).isFile() ? file : join(DIST, 'index.html')
    response.writeHead(200, {
      'content-type': TYPES[extname(found)] ?? 'application/octet-stream',
      'content-security-policy': SECURITY_POLICY,
    })
    createReadStream(found).pipe(response)
  }
}
