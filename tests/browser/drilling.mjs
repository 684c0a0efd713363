// From an origin down to what it is made of, by links only.

import { fault } from './lib.mjs';

/** The first origin of the table that leads to something of this kind, and the link to that. */
async function way(page, kind) {
  const origins = page.locator('#t-origins tbody tr th a:not(.self)');
  for (let index = 0; index < await origins.count(); index += 1) {
    const origin = origins.nth(index);
    const part = page.locator(`[id="${(await origin.getAttribute('href')).slice(1)}"]`);
    // What stands in a chart is drawn twice, and only one drawing is to be seen.
    const link = part.locator(`.inside :is(td, th, li, p) a[href^="#${kind}-"]:not(.self)`).first();
    if (await link.count()) return { origin, part, link };
  }
  return null;
}

/** Goes from an origin to one part of each of these kinds; each link leads to what it says, in sight. */
export async function drilling(page, where, kinds) {
  for (const kind of kinds) {
    const found = await way(page, kind);
    if (!found) {
      fault(where, `no origin leads to a part of the kind ${kind}`);
      continue;
    }
    const { origin, part, link } = found;
    await origin.click();
    const inside = part.locator('.inside').first();
    if (!await part.evaluate((element) => element.matches(':target')) || !await inside.isVisible()) {
      fault(where, 'the link to an origin does not open it');
      continue;
    }
    const to = (await link.getAttribute('href')).slice(1);
    const said = (await link.innerText()).replace(/^region /, '').split(/ → | /);
    await link.click();
    const target = page.locator(':target');
    if (await target.getAttribute('id') !== to || !await target.isVisible()) {
      fault(where, `the link to #${to} leads to a row that is not shown`);
      continue;
    }
    // What is shown there is what the link said.
    const shows = await target.innerText();
    for (const word of said) if (!shows.includes(word)) fault(where, `the link ${said.join(' ')} leads to ${shows.slice(0, 80)}`);
    const seen = await target.evaluate((element) => {
      const { top, bottom } = element.getBoundingClientRect();
      return bottom > 0 && top < innerHeight;
    });
    if (!seen) fault(where, `the link to #${to} leads out of sight`);
  }
}
