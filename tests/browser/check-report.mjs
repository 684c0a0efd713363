// Opens a report in headless Chromium, wide and narrow, light and dark, and as print, and fails when
// the page breaks one of its promises.
//
//   node check-report.mjs REPORT.html SCREENSHOT_FOLDER
//
// CHROMIUM names the browser (default /usr/bin/chromium). Exit codes: 0 holds, 1 a promise is broken, 2 usage.

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  accessible, fault, finish, folder, launch, open as openAny, overflow, picture,
} from './lib.mjs';

const [file, pictures] = process.argv.slice(2);
if (!file || !pictures || !existsSync(file)) {
  console.error('usage: node check-report.mjs REPORT.html SCREENSHOT_FOLDER (REPORT.html must exist)');
  process.exit(2);
}
const shot = folder(pictures);
const url = pathToFileURL(resolve(file)).href;
const profile = mkdtempSync(join(tmpdir(), 'weighbridge-report-'));

const SECTIONS = ['findings', 'origins', 'map', 'edges', 'entities', 'memory', 'services',
  'capacity', 'recommendations', 'what-if', 'change', 'predictions', 'conservation', 'quality', 'method', 'glossary', 'data'];

/** The file itself, and the document that its button saves. */
const own = (to) => to === url || to.startsWith(`${url}#`) || to.startsWith('blob:');
const open = (context, where) => openAny(context, url, where, own);

/** Promises that do not depend on size or colour. */
async function structure(page, where) {
  const found = await page.evaluate((sections) => {
    const ids = Array.from(document.querySelectorAll('[id]'), (element) => element.id);
    return {
      missing: sections.filter((id) => !document.getElementById(id)),
      order: sections.filter((id) => document.getElementById(id))
        .every((id, index, list) => index === 0
          || (document.getElementById(list[index - 1]).compareDocumentPosition(document.getElementById(id))
            & Node.DOCUMENT_POSITION_FOLLOWING) !== 0),
      repeated: ids.filter((id, index) => ids.indexOf(id) !== index).slice(0, 5),
      dead: Array.from(document.querySelectorAll('a[href^="#"]'))
        .filter((link) => !document.getElementById(decodeURIComponent(link.getAttribute('href').slice(1))))
        .map((link) => link.getAttribute('href')).slice(0, 5),
      away: Array.from(document.querySelectorAll('[href], [src]'))
        .map((element) => element.getAttribute('href') || element.getAttribute('src'))
        .filter((to) => !to.startsWith('#')).slice(0, 5),
      uncaptioned: Array.from(document.querySelectorAll('table'))
        .filter((table) => !table.caption || !table.caption.textContent.trim() || !table.querySelector('th[scope]')).length,
      untitled: Array.from(document.querySelectorAll('svg.chart'))
        .filter((svg) => !svg.querySelector('title') || !svg.querySelector('desc') || !svg.getAttribute('role')).length,
      alone: Array.from(document.querySelectorAll('figure'))
        .filter((figure) => !figure.closest('section').querySelector('table')).length,
      headings: document.querySelectorAll('h1').length,
      blank: Array.from(document.querySelectorAll('td'))
        .filter((cell) => /NaN|undefined|Infinity|not a number/.test(cell.textContent)).length,
      findings: document.querySelectorAll('.findings > li').length,
    };
  }, SECTIONS);
  if (found.missing.length) fault(where, `sections missing: ${found.missing}`);
  if (!found.order) fault(where, 'sections are not in their order');
  if (found.repeated.length) fault(where, `identifiers used twice: ${found.repeated}`);
  if (found.dead.length) fault(where, `links to nowhere: ${found.dead}`);
  if (found.away.length) fault(where, `references out of the file: ${found.away}`);
  if (found.uncaptioned) fault(where, `${found.uncaptioned} tables without caption or scope`);
  if (found.untitled) fault(where, `${found.untitled} charts without title, description or role`);
  if (found.alone) fault(where, `${found.alone} charts without a table in their section`);
  if (found.headings !== 1) fault(where, `${found.headings} first headings`);
  if (found.blank) fault(where, `${found.blank} cells with a number that is none`);
  if (found.findings > 5) fault(where, `${found.findings} findings; five is the most`);
}

async function sorting(page, where) {
  const table = page.locator('table.sort').first();
  if (await table.count() === 0) return;
  const head = table.locator('thead th:not(.w)').first();
  await head.locator('button').click();
  const column = await head.evaluate((cell) => cell.cellIndex);
  const values = await table.locator('tbody tr').evaluateAll(
    (rows, index) => rows.map((row) => parseFloat(row.cells[index].dataset.v ?? row.cells[index].textContent.replace(/,/g, ''))).filter((value) => !Number.isNaN(value)),
    column,
  );
  if (values.some((value, index) => index > 0 && values[index - 1] < value)) fault(where, `not sorted: ${values}`);
}

/** A link to a folded row must show it. */
async function folding(page, where) {
  const id = await page.evaluate(() => {
    const folded = document.querySelector('details:not([open]) tr[id]') || document.querySelector('details:not([open])[id]');
    return folded ? folded.id : null;
  });
  if (!id) return;
  await page.evaluate((to) => { location.hash = to; }, id);
  await page.waitForFunction((to) => {
    for (let at = document.getElementById(to); at; at = at.parentElement) {
      if (at.tagName === 'DETAILS' && !at.open) return false;
    }
    return true;
  }, id, { timeout: 5000 }).catch(() => fault(where, `the link to #${id} leads into a folded part`));
}

async function saving(page, where) {
  const button = page.locator('#save');
  if (await button.count() === 0) return;
  const wait = page.waitForEvent('download', { timeout: 10000 }).catch(() => null);
  await button.click();
  const download = await wait;
  if (!download) return fault(where, 'the button saves nothing');
  const path = join(profile, 'saved.json');
  await download.saveAs(path);
  const saved = JSON.parse(readFileSync(path, 'utf8'));
  if (saved.schema_version !== 1) fault(where, 'what the button saves is not the document');
}

/** From an origin to a service to an operation, by links only. */
async function drilling(page, where) {
  const origin = page.locator('#t-origins tbody tr th a').first();
  if (await origin.count() === 0) return;
  await origin.click();
  const inside = page.locator('#origins details:target .inside');
  if (!await inside.isVisible()) return fault(where, 'the link to an origin does not open it');
  const operation = inside.locator('a[href^="#operation-"]').first();
  const to = (await operation.getAttribute('href')).slice(1);
  await operation.click();
  const row = page.locator(`[id="${to}"]`);
  if (!await row.isVisible()) fault(where, `the link to #${to} leads to a row that is not shown`);
}

/** The sliders give what the model gives: at each load factor of the document, to nine digits. */
async function sliding(page, where) {
  if (await page.locator('#sliders').count() === 0) return;
  const report = await page.evaluate(async () => {
    const data = document.getElementById('report');
    if (data.type === 'application/json') return JSON.parse(data.textContent);
    const bytes = Uint8Array.from(atob(data.textContent), (c) => c.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))).json();
  });
  const set = (id, value) => page.locator(`#${id}`).evaluate((input, to) => {
    input.value = String(to);
    input.dispatchEvent(new Event('input', { bubbles: true }));
  }, value);
  const shown = (table, row, cell) => page.locator(`#${table} tbody tr`).nth(row).locator(`.w-${cell}`)
    .evaluate((td) => (td.dataset.v === undefined ? null : Number(td.dataset.v)));
  const close = (a, b) => (a === null || b === undefined ? a === null && b === undefined : Math.abs(a - b) <= 1e-9 * Math.max(Math.abs(b), 1e-12));
  const load = async (factor) => {
    await set('s-load', factor);
    await page.waitForFunction((to) => document.querySelector('output[for=s-load]').textContent === `${to}×`, factor);
    // The document of a large page is unpacked first.
    await page.waitForFunction(() => document.querySelector('#t-what-if tbody tr .w-cores').dataset.v !== undefined);
  };
  const { capacity } = report;
  for (const factor of capacity.load_factors) {
    await load(factor);
    for (const [index, service] of capacity.services.slice(0, 8).entries()) {
      const point = service.points.find((p) => p.load_factor === factor);
      for (const [cell, want] of [['cores', point.cores.value], ['used', point.utilisation.value], ['replicas', point.replicas.value], ['memory', point.memory.value]]) {
        const got = await shown('t-what-if', index, cell);
        if (!close(got, want)) fault(where, `${service.service} at ${factor}×: ${cell} is ${got}, the model says ${want}`);
      }
    }
    for (const [index, origin] of capacity.latency.slice(0, 8).entries()) {
      const want = origin.points.find((p) => p.load_factor === factor)?.response.value;
      const got = await shown('t-what-if-origins', index, 'response');
      if (!close(got, want)) fault(where, `${origin.operation} at ${factor}×: ${got}, the model says ${want}`);
    }
  }
  // Money: half a core-hour price is half the money, and no price is none.
  await load(2);
  await set('s-gib', 0);
  await set('s-core', 1);
  await page.waitForFunction(() => document.querySelector('#t-what-if tbody tr .w-money').dataset.v !== undefined);
  const dear = await shown('t-what-if', 0, 'money');
  await set('s-core', 0.5);
  const cheap = await shown('t-what-if', 0, 'money');
  if (!(dear > 0) || !close(cheap, dear / 2)) fault(where, `half the price is not half the money: ${dear}, ${cheap}`);
  // A lower target needs no fewer processes.
  const before = await shown('t-what-if', 0, 'replicas');
  await set('s-target', 30);
  const after = await shown('t-what-if', 0, 'replicas');
  if (after < before) fault(where, `fewer processes at a lower target: ${before}, ${after}`);
  await set('s-growth', 10);
  const months = await page.locator('#t-what-if tbody tr .w-months').first().innerText();
  if (!/month|not known/.test(months)) fault(where, `growth gives no months: ${months}`);
  await page.screenshot({ path: shot(`${where}-sliders.png`) });
}

/** On paper nothing stays folded, the page is light whatever the screen is, and nothing is cut at the right. */
async function printing(page, where) {
  await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
  const found = await page.evaluate(() => {
    window.dispatchEvent(new Event('beforeprint'));
    return {
      folded: document.querySelectorAll('details:not([open])').length,
      background: getComputedStyle(document.body).backgroundColor,
      nav: getComputedStyle(document.querySelector('nav')).display,
    };
  });
  if (found.folded) fault(where, `${found.folded} parts stay folded`);
  if (found.background !== 'rgb(255, 255, 255)') fault(where, `the paper is ${found.background}`);
  if (found.nav !== 'none') fault(where, 'the list of contents is printed');
  await page.pdf({ path: shot('print.pdf'), format: 'A4', printBackground: true, preferCSSPageSize: true });
}

const browser = await launch();
try {
  for (const [width, height] of [[1280, 900], [400, 860]]) {
    for (const colorScheme of ['light', 'dark']) {
      const where = `${width}-${colorScheme}`;
      const context = await browser.newContext({
        viewport: { width, height },
        deviceScaleFactor: width === 400 ? 2 : 1,
        colorScheme,
        acceptDownloads: true,
      });
      const page = await open(context, where);
      await structure(page, where);
      await overflow(page, where);
      await page.screenshot({ path: shot(`${where}-top.png`) });
      // Each section once wide and once narrow, once light and once dark.
      if ((width === 1280) === (colorScheme === 'light')) {
        for (const id of SECTIONS) await picture(page, `#${id}`, shot(`${where}-${id}.png`), width);
        await accessible(page, where);
      }
      await page.evaluate(() => document.querySelectorAll('details').forEach((details) => { details.open = true; }));
      await overflow(page, `${where} unfolded`);
      if (width === 400) {
        await page.setViewportSize({ width: 360, height: 800 });
        await overflow(page, `360-${colorScheme}`);
      } else {
        await page.setViewportSize({ width: 1920, height: 1080 });
        await overflow(page, `1920-${colorScheme}`);
      }
      if (colorScheme === 'light') {
        await page.setViewportSize({ width, height });
        await page.reload();
        await sorting(page, where);
        await drilling(page, where);
        await folding(page, where);
        await sliding(page, where);
        if (width === 1280) await saving(page, where);
      }
      await context.close();
    }
  }
  // Without its script the page still says everything.
  const bare = await browser.newContext({ viewport: { width: 1280, height: 900 }, javaScriptEnabled: false });
  const plain = await bare.newPage();
  await plain.goto(url);
  const words = await plain.locator('main').innerText();
  if (!words.includes('Findings') || !words.includes('Glossary')) fault('no script', 'the page is empty');
  await bare.close();
  const paper = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: 'dark' });
  await printing(await open(paper, 'print'), 'print');
  await paper.close();
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
finish(file, `holds at 360 to 1920 px, light, dark and print; pictures in ${pictures}`);
