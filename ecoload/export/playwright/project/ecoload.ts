// What the specs have in common: `flow`, whose steps are those that its file declares, with the evidence of each.
//
// Rules
// - A spec is called as its flow: `a7_pages_cta.spec.ts` has one test, `a7_pages_cta`.
// - Every step of the flow is carried out, once, in the order of its file, and leaves a screenshot, whether it
//   holds or not. What a step must be seen `within` is counted from the end of the last step that has no such
//   limit.
// - Figures are measured here and judged elsewhere: no limit of a web vital stands in a spec.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test as base, expect, type Page, type TestInfo } from '@playwright/test';
import { type App, ecosystem, type Flow } from './ecosystem';
import { baseUrl, guarded } from './guard';

export { expect };

/** The web vitals of one page that was loaded: ms, but for `cls`; null where there was none. */
export interface Vitals {
  readonly page: string;
  readonly lcp_ms: number | null;
  readonly cls: number | null;
  readonly inp_ms: number | null;
  readonly ttfb_ms: number | null;
}

/** What a step is told: how long what it waits for may take from now on, in ms. */
export interface Limits {
  readonly timeout: number;
}

export const test = base.extend<{ flow: Steps }>({
  contextOptions: async ({ contextOptions }, use, info) => {
    await use({ ...contextOptions, recordHar: { path: info.outputPath('network.har'), content: 'omit' } });
  },
  flow: async ({ page }, use, info) => {
    const flow = flowOf(info);
    const refused = await guarded(page.context(), flow);
    const steps = new Steps(page, info, flow);
    await use(steps);
    if (refused.size > 0) throw new Error(`the browser asked what it may not: ${[...refused].join('; ')}`);
    if (info.status === info.expectedStatus) steps.end();
  },
});

/** The address of a page of an app. */
export function url(app: App, path: string): string {
  return `${baseUrl(app)}${path}`;
}

/** What is new in each run: nothing of it is anybody's. */
export function newName(): string {
  return randomUUID().slice(0, 8);
}

/** A secret that ecoload hands in; without it, what stands in the environment. */
export function secret(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

export class Steps {
  /** Of whoever signs up in this run. */
  readonly password = process.env.ECOLOAD_PASSWORD || randomUUID();
  readonly namespace = ecosystem.namespace;
  #done = 0;
  #since = Date.now();

  constructor(
    readonly page: Page,
    private readonly info: TestInfo,
    private readonly flow: Flow,
  ) {}

  /** Carries out the next step of the flow, whose name it must be. */
  async step(name: string, body: (limits: Limits) => Promise<void>): Promise<void> {
    const next = this.flow.steps[this.#done];
    if (next?.name !== name) throw new Error(`the next step of the flow is ${next?.name ?? 'none'}, not ${name}`);
    this.#done += 1;
    const picture = `${String(this.#done).padStart(2, '0')} ${name}`;
    const left = next.withinMs === null ? 0 : this.#since + next.withinMs - Date.now();
    try {
      await test.step(name, () => body({ timeout: Math.max(left, 1) }));
      if (next.withinMs === null) this.#since = Date.now();
    } finally {
      // Not a part of the step: its time is the target's.
      await this.#picture(picture);
    }
  }

  /** Looks again, `look` after `look`, until it holds or the time is over: as a person reloads a page. */
  async eventually(look: () => Promise<void>, { timeout }: Limits): Promise<void> {
    await expect(look).toPass({ timeout, intervals: [250, 500, 1_000, 2_000] });
  }

  /** Loads a page and measures it, a key pressed included; `ready` says that a person can use it. */
  async measured(app: App, path: string, ready: () => Promise<void>): Promise<void> {
    await this.page.goto(url(app, path), { waitUntil: 'load' });
    await ready();
    const measured = { lcp_ms: expect.any(Number), ttfb_ms: expect.any(Number) };
    await expect
      .poll(() => this.#vitals(path), { message: `the web vitals of ${path}`, intervals: [100] })
      .toMatchObject(measured);
    await this.page.keyboard.press('Tab');
    // A browser tells of an interaction after the frame that follows it.
    await expect
      .poll(async () => (await this.#vitals(path)).inp_ms, { timeout: 2_000, intervals: [100] })
      .not.toBeNull()
      .catch(() => undefined);
    await this.info.attach('vitals', { body: JSON.stringify(await this.#vitals(path)), contentType: 'application/json' });
  }

  /** Every page that is loaded from now on is measured. */
  async measure(): Promise<void> {
    const library = dirname(createRequire(import.meta.url).resolve('web-vitals'));
    const code = readFileSync(join(library, 'web-vitals.iife.js'), 'utf8');
    // One script: what a script declares is not seen by the next.
    await this.page.addInitScript({ content: `${code};(${listen})(webVitals);` });
  }

  /** Raises where a step of the flow was left out. */
  end(): void {
    const missing = this.flow.steps.slice(this.#done).map((step) => step.name);
    if (missing.length > 0) throw new Error(`the spec left out steps of the flow: ${missing.join('; ')}`);
  }

  async #vitals(page: string): Promise<Vitals> {
    const found = await this.page.evaluate(
      () => (window as unknown as { ecoloadVitals?: Record<string, number> }).ecoloadVitals ?? {},
    );
    const of = (name: string) => found[name] ?? null;
    return { page, lcp_ms: of('LCP'), cls: of('CLS'), inp_ms: of('INP'), ttfb_ms: of('TTFB') };
  }

  async #picture(name: string): Promise<void> {
    const path = this.info.outputPath(`${name.replace(/[^A-Za-z0-9]+/g, '-').toLowerCase()}.png`);
    try {
      await this.page.screenshot({ path, timeout: 5_000 });
      await this.info.attach(name, { path, contentType: 'image/png' });
    } catch {
      // A page that shows nothing cannot be photographed; what is wrong with it the step tells.
    }
  }
}

/** Runs in the page. */
function listen(library: Record<string, (tell: (metric: { value: number }) => void, how: object) => void>): void {
  const found: Record<string, number> = {};
  (window as unknown as { ecoloadVitals: typeof found }).ecoloadVitals = found;
  for (const name of ['LCP', 'CLS', 'INP', 'TTFB']) {
    library[`on${name}`]?.((metric) => (found[name] = metric.value), { reportAllChanges: true });
  }
}

function flowOf(info: TestInfo): Flow {
  const flow = (ecosystem.flows as Record<string, Flow>)[info.title];
  if (!flow) throw new Error(`${info.title} is no flow: there is no scenarios/browser/${info.title}.yaml`);
  return flow;
}
