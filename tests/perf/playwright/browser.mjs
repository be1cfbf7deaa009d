// Which browser there is, and whether what it shows can be filmed. `node browser.mjs` tells it as JSON.
//
// Rules
// - The system's Chromium where there is one, else Playwright's own; CHROMIUM names another.
// - Playwright films with an ffmpeg of its own. Where it has none and the system has one, a link to that is put
//   into `.browsers/` beside this file, and Playwright looks there.

import { accessSync, constants, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from '@playwright/test';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];
const LOOK_IN = 'PLAYWRIGHT_BROWSERS_PATH';

/**
 * The browser's program, `''` for none; whether it is the system's, and whether it can be filmed.
 * @returns {{ executable: string, system: boolean, video: boolean }}
 */
export function findBrowser() {
  const named = process.env.CHROMIUM || NAMES.map(onPath).find(Boolean) || '';
  const own = chromium.executablePath();
  const executable = existsSync(named) ? named : existsSync(own) ? own : '';
  const system = executable !== '' && executable !== own;
  return { executable, system, video: executable !== '' && canFilm(system) };
}

/** @param {string} name */
function onPath(name) {
  const places = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  return places.map((place) => join(place, name)).find(isProgram);
}

/** @param {string} path */
function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** @param {boolean} system */
function canFilm(system) {
  const core = dirname(createRequire(import.meta.url).resolve('playwright-core/package.json'));
  /** @type {{ browsers: { name: string, revision: string }[] }} */
  const { browsers } = JSON.parse(readFileSync(join(core, 'browsers.json'), 'utf8'));
  const folder = `ffmpeg-${browsers.find((one) => one.name === 'ffmpeg')?.revision}`;
  const usual = process.env[LOOK_IN] || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'ms-playwright');
  if (process.platform !== 'linux' || existsSync(join(usual, folder, 'ffmpeg-linux'))) return true;
  const ffmpeg = onPath('ffmpeg');
  // Where Playwright looks for an ffmpeg it looks for its browsers too.
  if (!ffmpeg || !system) return false;
  const place = join(dirname(fileURLToPath(import.meta.url)), '.browsers');
  const link = join(place, folder, 'ffmpeg-linux');
  if (!existsSync(link)) {
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(ffmpeg, link);
  }
  process.env[LOOK_IN] = place;
  return true;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(JSON.stringify(findBrowser()));
