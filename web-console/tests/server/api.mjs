// @ts-check
// What the screens ask over HTTP, as `hexwatch_server` answers it.

/**
 * @param {import('./feed.mjs').Feed} feed @param {string} path
 * @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response
 */
export async function answerApi(feed, path, request, response) {
  if (path === '/api/v1/map') return json(response, 200, feed.site)
  const body = await read(request)
  if (path === '/api/v1/sql') return answerSql(body, response)
  const [, id, verb] = /^\/api\/v1\/alarms\/([^/]+)\/(\w+)$/.exec(path) ?? []
  const present = feed.log.findLast((entry) => entry.alarm_id === id)
  if (!id || !verb || !present || request.method !== 'POST') return problem(response, 404, 'no such alarm')
  feed.posts.push({ path, body })
  const done = CHANGES[verb]?.(present, body)
  if (!done) return problem(response, 409, `${verb} is not possible in the state ${present.state}`)
  feed.change(id, { ...done, transition: /** @type {any} */ (verb), actor_ref: 'op-9' })
  json(response, 200, feed.log.at(-1))
}

/** @typedef {import('../../src/contract').Alarm} Alarm */
/** @type {Record<string, (present: Alarm, body: any) => Partial<Alarm> | null>} */
const CHANGES = {
  ack: ({ state }) => (state === 'unack' ? { state: 'acked' } : state === 'rtn_unack' ? { state: 'normal' } : null),
  comment: (_present, { note }) => (note ? { note } : null),
  shelve: (_present, { note, until }) => (note && until ? { state: 'shelved', shelved_until: until, note } : null),
  unshelve: ({ state }) => (state === 'shelved' ? { state: 'unack', shelved_until: null } : null),
}

/** @param {any} body @param {import('node:http').ServerResponse} response */
function answerSql(body, response) {
  const sql = String(body?.sql ?? '')
  if (/\bdrop\b/i.test(sql)) return problem(response, 400, 'only SELECT is allowed here')
  json(response, 200, [
    { topic: 'access', events: 120211 },
    { topic: 'iot', events: 884077 },
  ])
}

/** @param {import('node:http').ServerResponse} response @param {number} status @param {unknown} body */
function json(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}

/** @param {import('node:http').ServerResponse} response @param {number} status @param {string} detail */
function problem(response, status, detail) {
  response.writeHead(status, { 'content-type': 'application/problem+json' })
  response.end(JSON.stringify({ type: 'about:blank', title: 'not done', status, detail }))
}

/** @param {import('node:http').IncomingMessage} request */
async function read(request) {
  let text = ''
  for await (const bytes of request) text += bytes
  return text ? JSON.parse(text) : null
}
