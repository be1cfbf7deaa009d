// Looks at every page of the sandbox with axe, in light and dark and on a narrow screen, and tells what is wrong
// as JSON: `[{ page, scheme, rule, impact, target }]`. The addresses are in `A1_URL` …, a student's password in
// `A1_USER_PASSWORD`, Chromium in `CHROMIUM`.

import AxeBuilder from '@axe-core/playwright';
import { chromium } from '@playwright/test';

const at = (app, path) => `${process.env[`${app.toUpperCase()}_URL`]}${path}`;
const NARROW = { width: 390, height: 844 };
const WIDE = { width: 1280, height: 800 };

/** What is looked at without signing in: `[name, address]`. */
const OPEN = [
  ['a5 home', at('a5', '/')],
  ['a5 sign up', at('a5', '/signup')],
  ['a5 problem', at('a5', '/callback?state=none')],
  ['a6 portal', at('a6', '/')],
  ['a7 home', at('a7', '/')],
  ['a7 browse', at('a7', '/browse')],
  ['a7 states', at('a7', '/browse/states')],
  ['a7 majors', at('a7', '/browse/majors')],
  ['a7 state', at('a7', '/browse/states/TX')],
  ['a7 missing', at('a7', '/browse/states/XX')],
  ['a8 home', at('a8', '/')],
  ['a8 lineage', at('a8', '/?lineage_id=seed-reference')],
];

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM });
const found = [];
for (const colorScheme of ['dark', 'light']) {
  const context = await browser.newContext({ colorScheme, viewport: WIDE });
  const page = await context.newPage();

  const look = async (name) => {
    // No page has a frame, so none is opened to gather what frames told.
    const axe = new AxeBuilder({ page }).setLegacyMode();
    // In the dark only the colours are others.
    const { violations } = await (colorScheme === 'dark' ? axe.withRules(['color-contrast']) : axe).analyze();
    for (const { id, impact, nodes } of violations)
      found.push({ page: name, scheme: colorScheme, rule: id, impact, target: nodes.map((node) => node.target.join(' ')) });
    await page.setViewportSize(NARROW);
    const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wider > 0) found.push({ page: name, scheme: colorScheme, rule: 'wider than a narrow screen', target: [`${wider} px`] });
    await page.setViewportSize(WIDE);
  };

  for (const [name, address] of OPEN) {
    await page.goto(address);
    await look(name);
  }
  await page.goto(at('a7', '/browse/states/TX'));
  await page.getByRole('rowheader').first().getByRole('link').click();
  await look('a7 scholarship');

  await page.goto(at('a5', '/signup'));
  await page.getByLabel('Name').fill(' ');
  await page.getByLabel('Email address').fill('somebody@example.test');
  await page.getByRole('button', { name: 'Sign up' }).click();
  await look('a5 sign up, wrong');
  await page.getByLabel('Name').fill('Somebody');
  await page.getByLabel('Email address').fill(`axe-${colorScheme}@example.test`);
  await page.getByRole('button', { name: 'Sign up' }).click();
  await look('a1 register');
  await page.getByLabel('Password').fill('password');
  await page.getByLabel('Email address').fill('student-0001@example.test');
  await page.getByRole('button', { name: 'Create account' }).click();
  await look('a1 register, taken');

  await page.goto(at('a5', '/login'));
  await look('a1 sign in');
  await page.getByLabel('Email address').fill('student-0001@example.test');
  await page.getByLabel('Password').fill('not this one');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await look('a1 sign in, wrong');
  await page.getByLabel('Password').fill(process.env.A1_USER_PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await look('a5 dashboard');
  await page.goto(at('a5', '/documents'));
  await page.getByLabel('Document', { exact: true }).setInputFiles({
    name: 'essay.txt',
    mimeType: 'text/plain',
    buffer: Buffer.from(`An essay, ${colorScheme}.\n`),
  });
  await page.getByRole('button', { name: 'Upload' }).click();
  await look('a5 documents');
  await context.close();
}
await browser.close();
console.log(JSON.stringify(found));
