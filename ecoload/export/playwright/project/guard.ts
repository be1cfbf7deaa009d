// What a browser may ask: the apps that its flow names, where they are, and how.
//
// Rules
// - No name is looked up but those of the apps; an address that ecoload has checked is the one that is dialled.
// - Whatever is not of an app of the flow is refused before it is sent, and so is everything but GET and HEAD to
//   an app that the flow does not write to, and what targets.yaml denies. A redirect is refused by its host, or
//   noticed once it was followed.
// - What was refused fails the flow, with its reason.

import type { BrowserContext, Request } from '@playwright/test';
import { type App, type Flow, ecosystem } from './ecosystem';

const READS = new Set(['GET', 'HEAD']);
const INTERNAL = new Set(['data:', 'blob:', 'about:', 'chrome-extension:']);

/** The address of an app, without slashes at its end: as the environment has it, else as targets.yaml has it. */
export function baseUrl(app: App): string {
  const { variable, url, hosts } = ecosystem.apps[app];
  const found = (process.env[variable] || url).replace(/\/+$/, '');
  if (!found) throw new Error(`${variable} is not set: the address of ${app}`);
  const host = new URL(found).hostname;
  // What ecoload hands in it has checked itself.
  if (process.env.ECOLOAD_RUN_ID === undefined && !hosts.includes(host))
    throw new Error(`${variable}: targets.yaml names no ${host}; name it there, and export again`);
  return found;
}

/** Chromium's rules: every name but those of the apps is unknown. */
export function resolverRules(): string {
  const checked: Record<string, string> = JSON.parse(process.env.ECOLOAD_ADDRESSES ?? '{}');
  const hosts = Object.values(ecosystem.apps)
    .map(({ variable, url }) => process.env[variable] || url)
    .filter(Boolean)
    .map((url) => new URL(url).hostname);
  const rules = [...new Set(hosts)].map((host) =>
    checked[host] ? `MAP ${host} ${checked[host]}` : `EXCLUDE ${host.replace(/^\[|\]$/g, '')}`,
  );
  return [...rules, 'MAP * ~NOTFOUND'].join(', ');
}

/** Refuses what `flow` may not ask, and marks what it asks as its own. The reasons come to stand in the set. */
export async function guarded(context: BrowserContext, flow: Flow): Promise<ReadonlySet<string>> {
  const refused = new Set<string>();
  const apps = Object.entries(flow.apps).map(([app, how]) => ({
    app,
    base: new URL(baseUrl(app as App)),
    writes: how === 'write',
  }));
  const deny = ecosystem.deny.map(pattern);
  const runId = process.env.ECOLOAD_RUN_ID;

  const reason = (method: string, address: string): string => {
    const url = new URL(address);
    if (INTERNAL.has(url.protocol)) return '';
    const what = `${method} ${url.origin}${url.pathname}`;
    const below = apps.filter(({ base }) => base.origin === url.origin && isBelow(url.pathname, base.pathname));
    // Of apps at one address it is of the one whose path fits best.
    const longest = Math.max(...below.map(({ base }) => base.pathname.length));
    const there = below.filter(({ base }) => base.pathname.length === longest);
    if (there.length === 0) return `${what}: it is of no app of this flow`;
    if (!READS.has(method) && !there.every(({ writes }) => writes)) return `${what}: ${there[0]?.app} is only read`;
    const denied = there.some(({ base }) =>
      [url.pathname, url.pathname.slice(base.pathname.replace(/\/$/, '').length) || '/']
        .flatMap((path) => [path, decoded(path)])
        .some((path) => deny.some((rule) => rule.test(`${method} ${path}`))),
    );
    return denied ? `${what}: targets.yaml denies it` : '';
  };

  await context.route(/.*/, async (route) => {
    const request = route.request();
    const why = reason(request.method(), request.url());
    if (why) {
      refused.add(why);
      return route.abort('blockedbyclient');
    }
    // Not on what a page asks of another origin, where a header of ours would make it a preflighted request.
    return runId !== undefined && isOwn(request)
      ? route.continue({ headers: { ...request.headers(), 'x-ecoload-run': runId } })
      : route.continue();
  });
  context.on('request', (request) => {
    const why = request.redirectedFrom() === null ? '' : reason(request.method(), request.url());
    if (why) refused.add(`${why} (a redirect)`);
  });
  return refused;
}

function isOwn(request: Request): boolean {
  if (request.isNavigationRequest()) return true;
  const page = request.frame().url();
  return page !== '' && new URL(page).origin === new URL(request.url()).origin;
}

/** A path as many servers read it: `%63` is `c`, `//` is `/`. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path).replace(/\/{2,}/g, '/');
  } catch {
    return path;
  }
}

function isBelow(path: string, base: string): boolean {
  const above = base.replace(/\/$/, '');
  return path === above || path.startsWith(`${above}/`);
}

/** `METHOD /path`, with `*` for any method or within a segment and `/**` for any rest. */
function pattern(text: string): RegExp {
  const [method = '', path = ''] = text.split(' ');
  const escaped = path.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/\/\*\*$/, '(?:/.*)?');
  return new RegExp(`^${method === '*' ? '[^ ]+' : method} ${escaped.replace(/\*/g, '[^/]*')}$`, 'i');
}
