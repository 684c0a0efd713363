// Opens the reports of generated rollups in headless Chromium: none, one and a thousand services, holes, estimates,
// extremes, names of one byte and of 4 KB, names that were given to break reports. Fails when one of them breaks a
// promise: no request, no console error, no script but its own, all sections, no overflow at 360 px, size, time.
//
//   node check-generated.mjs FOLDER SCREENSHOT_FOLDER
//
// FOLDER holds pages and, beside each, a JSON file that says what is promised of it (see reports/tests/generated.rs).
// Exit codes: 0 holds, 1 a promise is broken, 2 usage.

import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  alone, fault, finish, folder, launch, open, overflow, structure, unfold,
} from './lib.mjs';

const [from, pictures] = process.argv.slice(2);
if (!from || !pictures || !existsSync(from)) {
  console.error('usage: node check-generated.mjs FOLDER SCREENSHOT_FOLDER (FOLDER must exist)');
  process.exit(2);
}
const shot = folder(pictures);

/** What must be among the pages: one that is missing is a promise that nobody looked at. */
const EXPECTED = ['services-0', 'services-1', 'services-3', 'services-100', 'services-1000', 'one-origin', 'no-edges',
  'hole', 'estimated', 'extremes', 'names-short', 'names-long', 'hostile-00'];

/** What nobody may see: control and direction characters, and elements that only a name could have brought. */
async function harmless(page, where) {
  const found = await page.evaluate(() => {
    const deceptive = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/;
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let hidden = '';
    while (!hidden && texts.nextNode()) {
      if (deceptive.test(texts.currentNode.data) && texts.currentNode.parentElement.localName !== 'script') {
        hidden = JSON.stringify(texts.currentNode.data.slice(0, 80));
      }
    }
    const attributes = Array.from(document.querySelectorAll('*'))
      .flatMap((element) => Array.from(element.attributes, (attribute) => [element.localName, attribute.name, attribute.value]));
    return {
      ran: globalThis.ran,
      hidden: hidden || attributes.filter(([, , value]) => deceptive.test(value)).map(([at, name]) => `${at} ${name}`)[0],
      handlers: attributes.filter(([, name]) => name.startsWith('on')).map(([at, name]) => `${at} ${name}`)[0],
      foreign: document.querySelectorAll('img, iframe, object, embed, link, base, video, audio, template, foreignObject').length,
      scripts: document.querySelectorAll('script').length,
      styles: document.querySelectorAll('style').length,
      polluted: Object.keys(Object.prototype).length,
    };
  });
  if (found.ran !== undefined) fault(where, 'a script out of a name ran');
  if (found.hidden) fault(where, `characters that hide or reorder text: ${found.hidden}`);
  if (found.handlers) fault(where, `an attribute that runs: ${found.handlers}`);
  if (found.foreign) fault(where, `${found.foreign} elements that are none of ours`);
  if (found.scripts !== 2 || found.styles !== 1) fault(where, `${found.scripts} scripts and ${found.styles} styles`);
  if (found.polluted) fault(where, 'the prototype of all objects has new fields');
}

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
    const context = await browser.newContext({ viewport: { width: 360, height: 800 }, deviceScaleFactor: 2 });
    const page = await open(context, url, where, alone(url));
    await structure(page, where);
    await harmless(page, where);
    await overflow(page, `${where} 360`);
    await page.screenshot({ path: shot(`${where}-360.png`) });
    if (promise.services <= 100) {
      await unfold(page);
      await overflow(page, `${where} 360 unfolded`);
      await legible(page, `${where} 360`);
      await page.setViewportSize({ width: 1280, height: 900 });
      await overflow(page, `${where} 1280`);
      await page.screenshot({ path: shot(`${where}-1280.png`) });
      // Whatever reacts to a pointer or a click has reacted.
      await page.evaluate(() => {
        for (const cell of document.querySelectorAll('td, th')) cell.dispatchEvent(new MouseEvent('mouseover', { bubbles: true }));
        for (const button of document.querySelectorAll('thead button')) button.click();
      });
      await page.locator('#s-load').evaluateAll((inputs) => inputs.forEach((input) => {
        input.value = '2';
        input.dispatchEvent(new Event('input', { bubbles: true }));
      }));
      await harmless(page, `${where} used`);
    }
    await context.close();
  }
} finally {
  await browser.close();
}
finish(from, `${promises.length} pages hold at 360 and 1280 px; pictures in ${pictures}`);
