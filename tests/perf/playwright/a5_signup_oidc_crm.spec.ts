import { CommandCentre } from './command_centre';
import { expect, newName, test, url } from './ecoload';

test('a5_signup_oidc_crm', async ({ page, flow }) => {
  const name = `Browser ${newName()}`;
  const email = `browser-${newName()}@example.test`;
  let lineage = '';

  await flow.step('the sign-up form leads to A1', async () => {
    await page.goto(url('a5', '/'));
    await page.getByRole('main').getByRole('link', { name: 'Sign up' }).click();
    await page.getByLabel('Name').fill(name);
    await page.getByLabel('Email address').fill(email);
    await page.getByRole('button', { name: 'Sign up' }).click();
    await expect(page.getByRole('heading', { name: 'Create an account' })).toBeVisible();
    await expect(page.getByLabel('Email address')).toHaveValue(email);
  });

  await flow.step('A1 makes the account and leads back', async () => {
    await page.getByLabel('Name').fill(name);
    await page.getByLabel('Password').fill(flow.password);
    await page.getByRole('button', { name: 'Create account' }).click();
    await expect(page.getByRole('heading', { name: `Hello, ${name}` })).toBeVisible();
  });

  await flow.step('A5 shows the CRM record', async () => {
    const record = page.getByRole('region', { name: 'Your record' });
    await expect(record.getByText(email)).toBeVisible();
    await expect(page.locator('#crm-id')).not.toBeEmpty();
    lineage = await page.locator('#lineage-id').innerText();
  });

  const centre = new CommandCentre(page, lineage);

  await flow.step('A8 lists the event', async (limits) => {
    await centre.open();
    await flow.eventually(async () => {
      await page.reload();
      await expect(centre.events('signup')).toHaveCount(1, { timeout: 1_000 });
    }, limits);
  });

  await flow.step('the growth tile shows the sign-up', async (limits) => {
    await flow.eventually(async () => {
      await page.reload();
      await expect(centre.tile('Growth').locator('#growth-signups')).toHaveText('1', { timeout: 1_000 });
    }, limits);
    await expect(centre.attribution('By app', 'a5', 'Signups')).toHaveText('1');
  });
});
