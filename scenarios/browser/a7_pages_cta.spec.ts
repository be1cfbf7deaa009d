import { CommandCentre } from './command_centre';
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

  const centre = new CommandCentre(page, lineage);

  await flow.step('A8 lists the impression', async (limits) => {
    await centre.open();
    await flow.eventually(async () => {
      await page.reload();
      await expect(centre.events('cta_impression')).toHaveCount(1, { timeout: 1_000 });
    }, limits);
  });

  await flow.step('the growth tile shows the impression', async (limits) => {
    await flow.eventually(async () => {
      await page.reload();
      await expect(centre.tile('Growth').locator('#growth-impressions')).toHaveText('1', { timeout: 1_000 });
    }, limits);
    await expect(centre.attribution('By page', '/browse', 'Impressions')).toHaveText('1');
  });
});
