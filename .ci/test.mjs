#!/usr/bin/env node
// Runs every suite in turn and closes on one line, `N passed, N failed`. A suite that can't run counts as a
// failure, never as a skip; a suite that ran no test fails too.
import { spawn } from 'node:child_process'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')

/** One suite: what it runs, and how its output says how many tests passed and failed. */
const suites = [
  { name: 'format', run: ['cargo', 'fmt', '--all', '--check'], count: asOneTest },
  { name: 'licences', run: ['.ci/deny'], count: asOneTest },
  { name: 'console build', run: ['.ci/console'], count: asOneTest },
  { name: 'clippy', run: ['cargo', 'clippy', '--quiet', '--workspace', '--all-targets', '--', '-D', 'warnings'], count: asOneTest },
  { name: 'rust', run: ['cargo', 'test', '--workspace', '--no-fail-fast'], count: fromCargo },
  { name: 'console types', run: ['npm', 'run', '--silent', 'check'], cwd: 'web-console', count: asOneTest },
  { name: 'console units', run: ['npm', 'test', '--silent'], cwd: 'web-console', count: fromNode },
  { name: 'console in Chromium', run: ['npm', 'run', '--silent', 'e2e'], cwd: 'web-console', count: fromPlaywright },
  { name: 'console on the real binary', run: ['.ci/real-console'], count: fromPlaywright },
]

function asOneTest(_output, code) {
  return code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 }
}

function sum(output, pattern) {
  return [...output.matchAll(pattern)].reduce((total, match) => total + Number(match[1]), 0)
}

function fromCargo(output) {
  return { passed: sum(output, /^test result:.* (\d+) passed;/gm), failed: sum(output, /^test result:.* (\d+) failed;/gm) }
}

function fromNode(output) {
  const plain = output.replace(/\u001b\[[0-9;]*m/g, '')
  const vitest = { passed: sum(plain, /^\s*Tests\s.*?(\d+) passed/gm), failed: sum(plain, /^\s*Tests\s.*?(\d+) failed/gm) }
  const node = { passed: sum(plain, /^(?:#|ℹ) pass (\d+)/gm), failed: sum(plain, /^(?:#|ℹ) fail (\d+)/gm) }
  return { passed: vitest.passed + node.passed, failed: vitest.failed + node.failed }
}

function fromPlaywright(output) {
  return { passed: sum(output, /^\s+(\d+) passed/gm), failed: sum(output, /^\s+(\d+) failed/gm) }
}

function runSuite({ name, run: [command, ...args], cwd, count }) {
  return new Promise((done) => {
    console.log(`\n== ${name}`)
    let output = ''
    const child = spawn(command, args, { cwd: resolve(root, cwd ?? '.'), stdio: ['ignore', 'pipe', 'pipe'] })
    const take = (sink) => (bytes) => {
      output += bytes
      sink.write(bytes)
    }
    child.stdout.on('data', take(process.stdout))
    child.stderr.on('data', take(process.stderr))
    child.on('error', (error) => {
      console.error(`${name} could not start: ${error.message}`)
      done({ name, passed: 0, failed: 1 })
    })
    child.on('close', (code) => {
      const result = { name, ...count(output, code) }
      if (code !== 0 && result.failed === 0) result.failed = 1
      if (result.passed + result.failed === 0) result.failed = 1
      done(result)
    })
  })
}

const wanted = process.argv.slice(2)
const results = []
for (const suite of suites) {
  if (wanted.length === 0 || wanted.includes(suite.name)) results.push(await runSuite(suite))
}
console.log('')
for (const { name, passed, failed } of results) console.log(`${name}: ${passed} ok, ${failed} not`)
const passed = results.reduce((total, result) => total + result.passed, 0)
const failed = results.reduce((total, result) => total + result.failed, 0)
console.log(`\n${passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
