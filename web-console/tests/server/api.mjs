// @ts-check
// What the screens ask over HTTP, as `hexwatch_server` answers it.

/** @typedef {import('./feed.mjs').Feed} Feed */
/** @typedef {import('../../src/contract').Alarm} Alarm */
/** @typedef {import('node:http').ServerResponse} Response */

export const TOKEN = 'open sesame'

/** @type {Record<string, (feed: Feed, query: URLSearchParams) => unknown>} */
const READ = {
  '/api/v1/map': (feed) => feed.site,
  '/api/v1/me': (feed) => feed.me,
  '/api/v1/alarms': (feed, query) => {
    const after = Number(query.get('after') ?? 0)
    const alarms = feed.log.filter(({ seq }) => seq > after).slice(0, Number(query.get('limit') ?? 1000))
    return { alarms, latest_seq: { cuihu: feed.log.length }, more: false }
  },
  '/api/v1/system': () => ({
    queries: [
      { name: 'R06', kind: 'rule', title: 'Repeated denied, then entry', state: 'live', reason: null },
      {
        name: 'odd',
        kind: 'view',
        title: 'Odd',
        state: 'refused',
        reason: 'queries/views/odd.sql:7: a cross join has no time bounds',
      },
    ],
    dead_letters: [{ topic: 'access', stage: 'schema', error_code: 'unknown_member', field: 'event', count: 17 }],
  }),
  '/api/v1/catalog': () => [{ name: 'alarms', columns: [{ name: 'rule', type: 'Utf8', nullable: false }] }],
  '/api/v1/queries': () => [{ name: 'by-topic', title: 'Events by topic', sql: 'SELECT topic, count(*) FROM access' }],
}

/**
 * @param {Feed} feed @param {URL} url @param {import('node:http').IncomingMessage} request @param {Response} response
 */
export async function answerApi(feed, url, request, response) {
  const body = await read(request)
  if (url.pathname === '/api/v1/login') return logIn(feed, body, response)
  if (!feed.admits) return problem(response, 401, 'no token was given')
  const found = request.method === 'GET' && READ[url.pathname]
  if (found) return json(response, 200, found(feed, url.searchParams))
  if (url.pathname === '/api/v1/sql') return answerSql(body, response)
  return change(feed, url.pathname, body, response)
}

/** @param {Feed} feed @param {any} body @param {Response} response */
function logIn(feed, body, response) {
  if (body?.token !== TOKEN) return problem(response, 401, 'the token opens no login')
  feed.admits = true
  json(response, 200, feed.me)
}

/** @param {Feed} feed @param {string} path @param {any} body @param {Response} response */
function change(feed, path, body, response) {
  const [, id, verb] = /^\/api\/v1\/alarms\/([^/]+)\/(\w+)$/.exec(path) ?? []
  const present = feed.log.findLast((entry) => entry.alarm_id === id)
  if (!id || !verb || !present) return problem(response, 404, `nothing is at ${path}`)
  feed.posts.push({ path, body })
  const done = CHANGES[verb]?.(present, body)
  if (!done) return problem(response, 409, `${verb} is not possible in the state ${present.state}`)
  feed.change(id, { ...done, transition: /** @type {any} */ (verb), actor_ref: feed.me.who })
  json(response, 200, feed.log.at(-1))
}

/** @type {Record<string, (present: Alarm, body: any) => Partial<Alarm> | null>} */
const CHANGES = {
  ack: ({ state }) => (state === 'unack' ? { state: 'acked' } : state === 'rtn_unack' ? { state: 'normal' } : null),
  unack: ({ state }) => (state === 'acked' ? { state: 'unack' } : null),
  comment: (_present, { note }) => (note ? { note } : null),
  shelve: (_present, { note, until }) => (note && until ? { state: 'shelved', shelved_until: until, note } : null),
  unshelve: ({ state }) => (state === 'shelved' ? { state: 'unack', shelved_until: null } : null),
}

/** @param {any} body @param {Response} response */
function answerSql(body, response) {
  if (/\bdrop\b/i.test(String(body?.sql))) return problem(response, 400, 'only SELECT is allowed here')
  const columns = [
    { name: 'topic', type: 'Utf8' },
    { name: 'events', type: 'Int64' },
  ]
  const rows = [
    { topic: 'access', events: 120211 },
    { topic: 'iot', events: 884077 },
  ]
  json(response, 200, { columns, rows, row_count: 2, truncated: false })
}

/** @param {Response} response @param {number} status @param {unknown} body */
function json(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}

/** @param {Response} response @param {number} status @param {string} detail */
function problem(response, status, detail) {
  response.writeHead(status, { 'content-type': 'application/problem+json' })
  response.end(JSON.stringify({ type: 'urn:hexwatch:problem:test', title: 'not done', status, detail }))
}

/** @param {import('node:http').IncomingMessage} request */
async function read(request) {
  let text = ''
  for await (const bytes of request) text += bytes
  return text ? JSON.parse(text) : null
}
