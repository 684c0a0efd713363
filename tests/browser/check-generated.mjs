// Opens the reports of generated rollups in headless Chromium: none, one and a thousand services, holes, estimates,
// extremes, names of one byte and of 4 KB, names that were given to break reports; one with all that only some have, one
// with redacted names, and the page of `diff`. Fails when one of them breaks a
// promise: no request, no console error, no script but its own, all sections, no overflow at 360 px, size, time.
//
//   node check-generated.mjs FOLDER SCREENSHOT_FOLDER
//
// FOLDER holds pages and, beside each, a JSON file that says what is promised of it (see reports/tests/generated.rs).
// Exit codes: 0 holds, 1 a promise is broken, 2 usage.

import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { drilling } from './drilling.mjs';
import { says } from './sliders.mjs';
import {
  accessible, alone, fault, finish, folder, harmless, launch, linked, open, overflow, picture, readable, sameIds, saving,
  SECTIONS, structure, unfold,
} from './lib.mjs';

const [from, pictures] = process.argv.slice(2);
if (!from || !pictures || !existsSync(from)) {
  console.error('usage: node check-generated.mjs FOLDER SCREENSHOT_FOLDER (FOLDER must exist)');
  process.exit(2);
}
const shot = folder(pictures);
const work = mkdtempSync(join(tmpdir(), 'weighbridge-generated-'));

/** What must be among the pages: one that is missing is a promise that nobody looked at. */
const EXPECTED = ['services-0', 'services-1', 'services-3', 'services-100', 'services-1000', 'one-origin', 'no-edges',
  'hole', 'estimated', 'extremes', 'names-short', 'names-long', 'hostile-00', 'unknown', 'filled', 'diff',
  'redacted'];

/** Text that is cut at the edge of its own box, or lies over other text. */
async function legible(page, where) {
  const found = await page.evaluate(() => {
    const cut = Array.from(document.querySelectorAll('h1, h2, h3, h4, p, li, dd, dt, summary, td, th, figcaption, caption'))
      .filter((element) => element.clientWidth > 0 && getComputedStyle(element).overflowX !== 'visible'
        && element.scrollWidth > element.clientWidth + 1);
    return cut.slice(0, 3).map((element) => `${element.localName}.${element.className}: ${element.textContent.slice(0, 60)}`);
  });
  if (found.length) fault(where, `text is cut: ${found}`);
}

/**
 * From the navigation to the first sorted table: a program that is in the page before its own sorts the longest table
 * as soon as the page is loaded, and looks at the clock when the browser has drawn it. Beside the clock's time stands
 * the CPU time of the thread that parses, lays out and runs scripts: what it would take if nobody else used the machine.
 */
async function usable(browser, url, where) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  await context.addInitScript(() => {
    addEventListener('load', () => {
      const tables = Array.from(document.querySelectorAll('table.sort'));
      const longest = tables.sort((a, b) => b.tBodies[0].rows.length - a.tBodies[0].rows.length)[0];
      const head = longest.querySelector('thead th:not(.w)');
      head.querySelector('button').click();
      requestAnimationFrame(() => setTimeout(() => {
        globalThis.usable = {
          ms: performance.now(),
          rows: longest.tBodies[0].rows.length,
          sorted: head.getAttribute('aria-sort'),
        };
      }));
    });
  });
  let session;
  const page = await open(context, url, where, alone(url), async (fresh) => {
    session = await context.newCDPSession(fresh);
    await session.send('Performance.enable');
  });
  const found = await page.waitForFunction(() => globalThis.usable, null, { timeout: 30000 }).then((handle) => handle.jsonValue());
  if (!found.sorted) fault(where, 'the table is not sorted');
  const { metrics } = await session.send('Performance.getMetrics');
  found.cpuMs = metrics.find((metric) => metric.name === 'ThreadTime').value * 1000;
  await context.close();
  return found;
}

const promises = readdirSync(from).filter((name) => name.endsWith('.json')).sort()
  .map((name) => JSON.parse(readFileSync(join(from, name), 'utf8')));
for (const name of EXPECTED) {
  if (!promises.some((promise) => promise.file === `${name}.html`)) fault(name, 'there is no such page');
}
const browser = await launch();
try {
  for (const promise of promises) {
    const where = promise.file.replace(/\.html$/, '');
    const file = join(from, promise.file);
    const url = pathToFileURL(resolve(file)).href;
    const bytes = statSync(file).size;
    if (promise.bytes_max !== null && bytes > promise.bytes_max) fault(where, `${bytes} bytes; ${promise.bytes_max} is the most`);
    if (promise.usable_within_ms !== null) {
      // The best of three, and the CPU time where others use the machine: what they do is no matter of the page.
      const tries = [];
      for (let turn = 0; turn < 3; turn += 1) tries.push(await usable(browser, url, where));
      const [best] = tries.sort((a, b) => a.ms - b.ms);
      const [busy, cores] = [loadavg()[0], cpus().length];
      const held = busy > cores ? Math.min(...tries.map((one) => one.cpuMs)) : best.ms;
      console.log(`${where}: ${bytes} bytes, a table of ${best.rows} rows is sorted ${best.ms.toFixed(0)} ms after the navigation`
        + ` (of ${tries.map((one) => one.ms.toFixed(0)).join(', ')}), ${best.cpuMs.toFixed(0)} ms of them on the CPU;`
        + ` the limit is ${promise.usable_within_ms} ms${busy > cores ? ' of CPU time, since the machine is busy' : ''}`);
      if (held > promise.usable_within_ms) fault(where, `usable after ${held.toFixed(0)} ms; ${promise.usable_within_ms} ms is the most`);
    }
    const sections = promise.change ? ['change'] : SECTIONS;
    const context = await browser.newContext({
      viewport: { width: 360, height: 800 }, deviceScaleFactor: 2, acceptDownloads: true,
    });
    const page = await open(context, url, where, alone(url));
    await structure(page, where, sections);
    await linked(page, where);
    if (where === 'services-3') await sameIds(page, where);
    for (const id of promise.tables) {
      const figures = await page.locator(`#${id} tbody td`).evaluateAll((cells) => cells.filter((cell) => /\d/.test(cell.textContent)).length);
      if (!figures) fault(where, `no figure in #${id}`);
    }
    await harmless(page, where, 'html', { scripts: promise.change ? 1 : 2, styles: 1 });
    await overflow(page, `${where} 360`);
    await page.screenshot({ path: shot(`${where}-360.png`) });
    // The demo has no regions.
    if (where === 'services-3') await drilling(page, where, ['service', 'operation', 'edge', 'region']);
    if (promise.services <= 100) {
      await unfold(page);
      await overflow(page, `${where} 360 unfolded`);
      await legible(page, `${where} 360`);
      await readable(page, `${where} 360`);
      await page.setViewportSize({ width: 1280, height: 900 });
      await overflow(page, `${where} 1280`);
      await readable(page, `${where} 1280`);
      await page.screenshot({ path: shot(`${where}-1280.png`) });
      if (promise.accessible) {
        await accessible(page, where);
        await page.emulateMedia({ colorScheme: 'dark' });
        await accessible(page, `${where} dark`);
        await page.emulateMedia({ colorScheme: 'light' });
        for (const id of promise.tables) {
          const section = await page.locator(`#${id}`).evaluate((table) => table.closest('section').id);
          await picture(page, where, `#${section}`, shot(`${where}-${section}.png`), 1280);
        }
      }
      if (!promise.change) {
        // Digits that a script would round are kept in what the button saves.
        const written = readFileSync(join(from, 'documents', `${where}.json`), 'utf8');
        const large = await saving(page, where, join(work, `${where}.json`), written);
        if (where === 'extremes' && !large) fault(where, 'no number here is larger than a script can hold');
      }
      // Whatever reacts to a pointer or a click has reacted.
      await page.evaluate(() => {
        for (const cell of document.querySelectorAll('td, th')) cell.dispatchEvent(new MouseEvent('mouseover', { bubbles: true }));
        for (const button of document.querySelectorAll('thead button')) button.click();
      });
      await page.locator('#s-load').evaluateAll((inputs) => inputs.forEach((input) => {
        input.value = '2';
        input.dispatchEvent(new Event('input', { bubbles: true }));
      }));
      if (where === 'filled') {
        await page.waitForFunction(() => document.querySelector('#t-what-if tbody tr .w-money').dataset.v > 0, null, { timeout: 10000 })
          .catch(() => fault(where, 'the prices of the report give no money'));
      }
      if (where === 'unknown') {
        await page.waitForFunction(() => document.querySelector('#t-what-if .sum .w-cores').dataset.v > 0, null, { timeout: 10000 });
        for (const cell of ['cores', 'replicas', 'memory']) await says(page, 3, cell, 1, where);
      }
      await harmless(page, `${where} used`, 'html', { scripts: promise.change ? 1 : 2, styles: 1 });
    }
    await context.close();
  }
} finally {
  await browser.close();
  rmSync(work, { recursive: true, force: true });
}
finish(from, `${promises.length} pages hold at 360 and 1280 px; pictures in ${pictures}`);
