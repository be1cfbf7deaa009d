import { expect, test, url } from './ecoload';

test('a7_pages_cta', async ({ page, flow }) => {
  const action = page.getByRole('button', { name: 'Find my scholarships' });
  let lineage = '';

  await flow.measure();

  await flow.step('the first page loads', async () => {
    await flow.measured('a7', '/', () => expect(page.getByRole('heading', { level: 1 })).toContainText('Money for study'));
  });

  await flow.step('the pages to browse load', async () => {
    for (const path of ['/browse', '/browse/states', '/browse/majors']) {
      await flow.measured('a7', path, () => expect(page.getByRole('heading', { level: 1 })).toBeVisible());
    }
  });

  await flow.step('a state and a scholarship load', async () => {
    await flow.measured('a7', '/browse/states/TX', () =>
      expect(page.getByRole('heading', { level: 1, name: /Texas/ })).toBeVisible(),
    );
    const first = page.getByRole('rowheader').first();
    const name = await first.innerText();
    const path = (await first.getByRole('link').getAttribute('href')) ?? '';
    await flow.measured('a7', path, () => expect(page.getByRole('heading', { level: 1, name })).toBeVisible());
  });

  await flow.step('the call to action is emitted', async () => {
    await page.goto(url('a7', '/browse'));
    await action.scrollIntoViewIfNeeded();
    await expect(action).toBeInViewport();
    await expect(action).toHaveAttribute('data-emitted', 'true');
    lineage = (await action.getAttribute('data-lineage')) ?? '';
    expect(lineage).not.toBe('');
  });

  await flow.step('A8 lists the impression', async (limits) => {
    await page.goto(url('a8', '/'));
    await page.getByLabel('Lineage').fill(lineage);
    await page.getByRole('button', { name: 'Show' }).click();
    await flow.eventually(async () => {
      await page.reload();
      const event = page.getByRole('row').filter({ hasText: lineage }).filter({ hasText: 'cta_impression' });
      await expect(event).toHaveCount(1, { timeout: 1_000 });
    }, limits);
  });

  await flow.step('the growth tile shows the impression', async (limits) => {
    const tile = page.getByRole('listitem').filter({ has: page.getByRole('heading', { name: 'Growth' }) });
    await flow.eventually(async () => {
      await page.reload();
      await expect(tile.locator('#growth-impressions')).toHaveText('1', { timeout: 1_000 });
    }, limits);
    const byPage = page.getByRole('table', { name: 'By page' }).getByRole('row', { name: '/browse' });
    await expect(byPage.getByRole('cell').first()).toHaveText('1');
  });
});
