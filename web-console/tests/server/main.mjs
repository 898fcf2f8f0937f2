// @ts-check
// `npm run feed`: the stand-in on port 8080, with an afternoon's events, to look at the screens while working on them.
import { playAfternoon } from './alarms.mjs'
import { Feed } from './feed.mjs'
import { riskOf } from './site.mjs'

const feed = new Feed()
playAfternoon(feed)
let turn = 0
setInterval(() => {
  turn += 1
  feed.updateCells(feed.site.cells.filter((_, i) => (i + turn) % 5 === 0).map(({ cell }) => riskOf(cell, turn)))
}, 1000)
console.log(await feed.listen(Number(process.env['PORT'] ?? 8080)))
