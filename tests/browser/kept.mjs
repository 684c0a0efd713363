// What a reader of the live page did stays when new figures come.

import { fault } from './lib.mjs';

/** Calls what has the focus: the table or fold that it stands in, its kind and its words. */
const focused = (page) => page.evaluate(() => {
  const at = document.activeElement;
  if (!at || at === document.body) return 'nothing';
  const table = at.closest('table');
  const fold = at.closest('details');
  return [
    fold && (fold.id || fold.querySelector('.s-name').textContent),
    table && table.caption.textContent,
    at.localName,
    at.matches('thead button') ? at.closest('th').cellIndex : '',
    at.getAttribute('href') ?? at.textContent.trim().slice(0, 40),
  ].join(' | ');
});

/** Folds, sorted tables and the focus, each in the parts of the page that have no name of their own. */
export async function kept(page, where, next) {
  // A fold of the edges, which is closed at first.
  await page.locator('#t-edges tbody tr').first().waitFor({ timeout: 20000 });
  const fold = page.locator('#edges details:not([id])').first();
  if (await fold.count() === 0) fault(where, 'the edges have no fold');
  await fold.locator('summary').click();
  if (!await fold.evaluate((details) => details.open)) fault(where, 'a click opens no fold of the edges');

  // A table of the second service: one of many of the same kind.
  const service = `#${await page.locator('#services details[id]').nth(1).getAttribute('id')}`;
  await page.locator(service).evaluate((details) => { details.open = true; });
  const table = page.locator(`${service} table.sort`).first();
  if (await table.count() === 0) return fault(where, `${service} has no table that can be sorted`);
  if (await table.getAttribute('id')) fault(where, `${service} has a table with an id: take another for this test`);
  const head = table.locator('thead th:not(.w)').nth(1);
  await head.locator('button').click();
  await head.locator('button').click();
  const sorted = await head.getAttribute('aria-sort');
  if (sorted !== 'ascending') fault(where, `two clicks sort ${sorted}`);
  const values = () => head.evaluate((cell) => Array.from(cell.closest('table').tBodies[0].rows, (row) => {
    const at = row.cells[cell.cellIndex];
    return at.dataset.v === undefined ? parseFloat(at.textContent.replace(/,/g, '')) : Number(at.dataset.v);
  }).filter((value) => !Number.isNaN(value)));

  // The focus, wherever the keyboard leads: a head of that table, the one after it, a link in it, a summary.
  const stays = async (what) => {
    const before = await focused(page);
    await page.evaluate(() => { document.activeElement.dataset.old = 'true'; });
    await next();
    const after = await focused(page);
    if (await page.evaluate(() => document.activeElement.dataset.old)) fault(where, `${what}: no new figures came`);
    if (after !== before) fault(where, `new figures move the focus from ${what} (${before}) to ${after}`);
  };
  await stays('a sort button');
  if (!await fold.evaluate((details) => details.open)) fault(where, 'new figures fold the edges');
  if (await head.getAttribute('aria-sort') !== sorted) fault(where, 'new figures undo the sorting of the second service');
  const shown = await values();
  if (shown.some((value, index) => index > 0 && shown[index - 1] > value)) fault(where, `the second service is not sorted: ${shown}`);
  await page.keyboard.press('Tab');
  const tabbed = await focused(page);
  if (!tabbed.includes('button')) fault(where, `Tab leads from one sort button to ${tabbed}`);
  await stays('the next sort button');
  await page.keyboard.press('Tab');
  if (await focused(page) === tabbed) fault(where, 'Tab does not go on');
  await page.locator('#t-edges tbody tr th a').first().focus();
  await stays('a link in a table');
  await fold.locator('summary').focus();
  await stays('a summary');
  // And what was closed stays closed.
  await page.keyboard.press('Enter');
  await next();
  if (await fold.evaluate((details) => details.open)) fault(where, 'new figures open what was closed');
  return undefined;
}
