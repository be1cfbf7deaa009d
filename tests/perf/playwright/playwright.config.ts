import { defineConfig } from '@playwright/test';
import { findBrowser } from './browser.mjs';
import { ecosystem } from './ecosystem';
import { resolverRules } from './guard';

const { executable, system, video } = findBrowser();
if (!video) console.warn('no ffmpeg where Playwright looks for it: there will be no video');

// `ecoload e2e` reads what happens as it happens; otherwise it is for people.
const readByEcoload = process.env.ECOLOAD_RUN_ID !== undefined;

const timeout = Math.max(...Object.values(ecosystem.flows).map((flow) => flow.timeoutMs));
// What a person would wait for one thing, and in a flow of little time an eighth of it.
const patience = Math.min(10_000, timeout / 8);

export default defineConfig({
  testDir: '.',
  outputDir: 'test-results',
  forbidOnly: true,
  // A flow that passes at the second try did not pass.
  retries: 0,
  workers: 1,
  timeout,
  expect: { timeout: patience },
  reporter: readByEcoload
    ? [['./progress.ts'], ['json', { outputFile: 'test-results/playwright.json' }]]
    : [['list'], ['html', { open: 'never' }]],
  use: {
    browserName: 'chromium',
    // Playwright's own in the mode in which the system's is run: the whole browser, without a window.
    ...(system ? {} : { channel: 'chromium' }),
    viewport: { width: 1280, height: 800 },
    locale: 'en-US',
    timezoneId: 'UTC',
    actionTimeout: patience,
    navigationTimeout: 2 * patience,
    serviceWorkers: 'block',
    trace: 'on',
    video: video ? 'on' : 'off',
    launchOptions: {
      ...(system ? { executablePath: executable } : {}),
      args: ['--no-proxy-server', `--host-resolver-rules=${resolverRules()}`],
    },
  },
});
