import { defineConfig } from '@playwright/test'

/** The address of a running hexwatch: the journeys of `tests/real` are run against it. */
const real = process.env['HEXWATCH_URL']

export default defineConfig({
  fullyParallel: false,
  workers: 1,
  retries: 0,
  forbidOnly: true,
  timeout: 60_000,
  expect: { timeout: 10_000 },
  outputDir: 'test-results/artifacts',
  reporter: 'list',
  use: {
    viewport: { width: 1280, height: 720 },
    locale: 'zh-CN',
    launchOptions: {
      executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
      args: [
        '--headless=new',
        '--no-sandbox',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--use-angle=swiftshader',
        '--enable-unsafe-swiftshader',
        '--force-color-profile=srgb',
      ],
    },
  },
  projects: [
    { name: 'console', testDir: 'tests/ui' },
    ...(real ? [{ name: 'real', testDir: 'tests/real', use: { baseURL: real } }] : []),
  ],
})
