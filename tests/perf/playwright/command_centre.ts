import type { Locator, Page } from '@playwright/test';
import { url } from './ecoload';

/** A8's page, narrowed to what came of one thing: its lineage. */
export class CommandCentre {
  constructor(
    private readonly page: Page,
    private readonly lineage: string,
  ) {}

  /** Opens the page and narrows it, as a person does. */
  async open(): Promise<void> {
    await this.page.goto(url('a8', '/'));
    await this.page.getByLabel('Lineage').fill(this.lineage);
    await this.page.getByRole('button', { name: 'Show' }).click();
  }

  /** The rows of the events of this kind. */
  events(kind: string): Locator {
    return this.page.getByRole('row').filter({ hasText: this.lineage }).filter({ hasText: kind });
  }

  /** A tile by its heading. */
  tile(name: string): Locator {
    return this.page.getByRole('listitem').filter({ has: this.page.getByRole('heading', { name }) });
  }

  /** A cell of the table of attribution that is called so. */
  attribution(table: 'By app' | 'By page', row: string, column: 'Impressions' | 'Clicks' | 'Signups'): Locator {
    const cells = this.page.getByRole('table', { name: table }).getByRole('row', { name: row }).getByRole('cell');
    return cells.nth(['Impressions', 'Clicks', 'Signups'].indexOf(column));
  }
}
