// The report with nothing but a keyboard.

import { fault } from './lib.mjs';

/** More stops than any report has. */
const STOPS_MAX = 5000;

/** What has the focus, and whether a reader can see that it has. */
const focused = (page) => page.evaluate(() => {
  const at = document.activeElement;
  if (!at || at === document.body) return null;
  const style = getComputedStyle(at);
  const box = at.getBoundingClientRect();
  return {
    what: `${at.localName}${at.id ? `#${at.id}` : ''} in #${at.closest('section, nav, header, footer')?.id}`,
    kind: at.matches('summary') ? 'summary' : at.matches('thead button') ? 'sort' : at.matches('input') ? 'input' : at.localName,
    name: (at.getAttribute('aria-label') || at.textContent || at.labels?.[0]?.textContent || '').trim(),
    ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0,
    seen: box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight,
  };
});

/** Tabs until `wanted` holds of what has the focus; false when the page ends before. */
async function tabTo(page, wanted) {
  for (let stop = 0; stop < STOPS_MAX; stop += 1) {
    await page.keyboard.press('Tab');
    const at = await focused(page);
    if (!at) return false;
    if (wanted(at)) return true;
  }
  return false;
}

/** Tabs through the page from one end to the other: every stop has a name, is in sight, and shows that it is one. */
async function through(page, where) {
  const kinds = {};
  let stops = 0;
  for (; stops < STOPS_MAX; stops += 1) {
    await page.keyboard.press('Tab');
    const at = await focused(page);
    if (!at) break;
    kinds[at.kind] = (kinds[at.kind] || 0) + 1;
    if (stops === 0 && !/skip/i.test(at.name)) fault(where, `the first stop is ${at.what}, not the link past the contents`);
    if (!at.name) fault(where, `a stop without a name: ${at.what}`);
    if (!at.ring) fault(where, `the focus cannot be seen on ${at.what}`);
    if (!at.seen) fault(where, `the focus is out of sight: ${at.what}`);
  }
  if (stops === STOPS_MAX) fault(where, `no end after ${stops} stops`);
  for (const kind of ['a', 'summary', 'sort', 'input']) {
    if (!kinds[kind]) fault(where, `no ${kind} can be reached`);
  }
  console.log(`keyboard: ${stops} stops, ${JSON.stringify(kinds)}`);
}

/** The values of the column that has the focus, in the order of the rows; what is not known is null. */
const column = (page) => page.evaluate(() => {
  const head = document.activeElement.closest('th');
  const rows = Array.from(head.closest('table').tBodies[0].rows);
  return {
    direction: head.getAttribute('aria-sort'),
    values: rows.map((row) => {
      const cell = row.cells[head.cellIndex];
      return cell.dataset.v === undefined ? null : Number(cell.dataset.v);
    }),
  };
});

const ordered = (values, down) => {
  const known = values.filter((value) => value !== null);
  return known.every((value, index) => index === 0 || (down ? known[index - 1] >= value : known[index - 1] <= value));
};

export async function byKeyboard(page, where) {
  await through(page, where);

  // A part that is folded opens with Enter and folds again with the space bar.
  await page.reload();
  if (!await tabTo(page, (at) => at.kind === 'summary' && at.what.endsWith('#origins'))) {
    fault(where, 'no origin can be opened');
  } else {
    const open = () => page.evaluate(() => document.activeElement.parentElement.open);
    const before = await open();
    await page.keyboard.press('Enter');
    if (await open() === before) fault(where, 'Enter opens no origin');
    const inside = await page.evaluate(() => {
      const box = document.activeElement.parentElement.querySelector('.inside').getBoundingClientRect();
      return box.height;
    });
    if (!before && inside < 40) fault(where, 'the opened origin shows nothing');
    await page.keyboard.press('Space');
    if (await open() !== before) fault(where, 'the space bar does not fold it again');
  }

  // A table sorts with Enter, and the other way round with the space bar; the focus stays.
  await page.reload();
  const numeric = () => page.evaluate(() => {
    const at = document.activeElement;
    return Boolean(at && at.matches('thead button') && !at.closest('th').classList.contains('w')
      && at.closest('table').tBodies[0].querySelector(`tr td[data-v]`));
  });
  let found = false;
  while (!found && await tabTo(page, (at) => at.kind === 'sort')) found = await numeric();
  if (!found) return fault(where, 'no table can be sorted');
  await page.keyboard.press('Enter');
  const down = await column(page);
  if (down.direction !== 'descending' || !ordered(down.values, true)) fault(where, `Enter does not sort: ${JSON.stringify(down)}`);
  await page.keyboard.press('Space');
  const up = await column(page);
  if (up.direction !== 'ascending' || !ordered(up.values, false)) fault(where, `the space bar does not turn the order: ${JSON.stringify(up)}`);
}
