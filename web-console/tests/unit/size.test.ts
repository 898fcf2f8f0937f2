import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'

const DIST = resolve(import.meta.dirname, '../../dist')
const LIMIT_KIB = 560

interface Chunk {
  file: string
  imports?: string[]
  assets?: string[]
}

test(`a wall loads at most ${LIMIT_KIB} KiB of compressed JavaScript, the map's worker included`, () => {
  const path = resolve(DIST, '.vite/manifest.json')
  expect(existsSync(path), 'there is no build: run `npm run build` first').toBe(true)
  const manifest = JSON.parse(readFileSync(path, 'utf8')) as Record<string, Chunk>
  const files = new Set<string>()
  const take = (name: string): void => {
    const chunk = manifest[name]
    if (!chunk) throw new Error(`the build has no ${name}`)
    if (files.has(chunk.file)) return
    files.add(chunk.file)
    for (const asset of chunk.assets ?? []) if (asset.endsWith('.js')) files.add(asset)
    chunk.imports?.forEach(take)
  }
  take('index.html')
  take('src/screens/Wall.svelte')
  expect(
    [...files].some((file) => file.includes('worker')),
    'the worker must be counted',
  ).toBe(true)
  const bytes = [...files].reduce((sum, file) => sum + gzipSync(readFileSync(resolve(DIST, file))).length, 0)
  expect(bytes / 1024).toBeLessThan(LIMIT_KIB)
  console.log(`the wall's JavaScript: ${Math.round(bytes / 1024)} KiB gzip`)
})
