import { CommandCentre } from './command_centre';
import { expect, newName, secret, test, url } from './ecoload';

test('a5_doc_a4_outcomes', async ({ page, flow }) => {
  const document = `browser-${newName()}.txt`;
  const row = page.getByRole('row').filter({ hasText: document });
  let lineage = '';
  let outcome = '';

  await flow.step('the student signs in by A1', async () => {
    await page.goto(url('a5', '/'));
    await page.getByRole('main').getByRole('link', { name: 'Log in' }).click();
    await page.getByLabel('Email address').fill('student-0001@example.test');
    await page.getByLabel('Password').fill(secret('A1_USER_PASSWORD'));
    await page.getByRole('button', { name: 'Sign in' }).click();
    await expect(page.getByRole('heading', { name: /^Hello, / })).toBeVisible();
  });

  await flow.step('the document is taken', async () => {
    await page.getByRole('link', { name: 'Hand in a document' }).click();
    await page.getByLabel('Document', { exact: true }).setInputFiles({
      name: document,
      mimeType: 'text/plain',
      buffer: Buffer.from(`A synthetic essay about scholarships, called ${document}.\n`),
    });
    await page.getByRole('button', { name: 'Upload' }).click();
    await expect(row).toHaveCount(1);
    lineage = await row.getByRole('cell').last().innerText();
  });

  await flow.step('A4 has assessed it', async (limits) => {
    await flow.eventually(async () => {
      await page.reload();
      await expect(row.getByRole('cell', { name: /^(eligible|review)$/ })).toBeVisible({ timeout: 1_000 });
    }, limits);
    outcome = await row.getByRole('cell', { name: /^(eligible|review)$/ }).innerText();
  });

  const centre = new CommandCentre(page, lineage);

  await flow.step('A8 lists the event', async (limits) => {
    await centre.open();
    await flow.eventually(async () => {
      await page.reload();
      await expect(centre.events('document_processed')).toHaveCount(1, { timeout: 1_000 });
    }, limits);
  });

  await flow.step('the outcomes tile shows the outcome', async (limits) => {
    const tile = centre.tile('Outcomes');
    await flow.eventually(async () => {
      await page.reload();
      await expect(tile.locator('#outcomes-documents')).toHaveText('1', { timeout: 1_000 });
    }, limits);
    await expect(tile.locator(`#outcomes-${outcome}`)).toHaveText('1');
  });
});
