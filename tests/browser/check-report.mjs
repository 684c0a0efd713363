// Opens a report in headless Chromium, wide and narrow, light and dark, and as print, and fails when
// the page breaks one of its promises.
//
//   node check-report.mjs REPORT.html SCREENSHOT_FOLDER
//
// CHROMIUM names the browser (default /usr/bin/chromium). Exit codes: 0 holds, 1 a promise is broken, 2 usage.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const [file, folder] = process.argv.slice(2);
if (!file || !folder || !existsSync(file)) {
  console.error('usage: node check-report.mjs REPORT.html SCREENSHOT_FOLDER (REPORT.html must exist)');
  process.exit(2);
}
const browserPath = process.env.CHROMIUM || '/usr/bin/chromium';
if (!existsSync(browserPath)) {
  console.error(`no browser at ${browserPath}; install chromium or name one in CHROMIUM`);
  process.exit(2);
}
mkdirSync(folder, { recursive: true });
const url = pathToFileURL(resolve(file)).href;
const profile = mkdtempSync(join(tmpdir(), 'weighbridge-report-'));
const faults = [];
const fault = (where, what) => faults.push(`${where}: ${what}`);

const SECTIONS = ['findings', 'origins', 'services', 'edges', 'entities', 'memory', 'capacity',
  'recommendations', 'conservation', 'quality', 'method', 'glossary', 'data'];

/** A page that counts everything it should not do. */
async function open(context, where) {
  const page = await context.newPage();
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) fault(where, `console ${message.type()}: ${message.text()}`);
  });
  page.on('pageerror', (error) => fault(where, `script error: ${error.message}`));
  page.on('request', (request) => {
    const to = request.url();
    // The file itself, and the document that its button saves.
    if (to !== url && !to.startsWith(`${url}#`) && !to.startsWith('blob:')) fault(where, `request to ${to.slice(0, 200)}`);
  });
  await page.goto(url, { waitUntil: 'load' });
  return page;
}

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

/** The page may not be wider than the window; tables scroll in their own boxes. */
async function overflow(page, where) {
  const wide = await page.evaluate(() => {
    const limit = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= limit) return null;
    const outside = Array.from(document.querySelectorAll('body *'))
      .filter((element) => !element.closest('.box, svg, .skip') && element.getBoundingClientRect().right > limit + 1)
      .slice(0, 3)
      .map((element) => `${element.tagName.toLowerCase()}.${element.className} #${element.closest('[id]')?.id}`);
    return `${document.documentElement.scrollWidth} > ${limit}: ${outside.join(', ')}`;
  });
  if (wide) fault(where, `the page overflows sideways: ${wide}`);
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

const flags = ['--disable-gpu', '--disable-background-networking', '--disable-sync', '--no-first-run'];
const browser = await chromium.launch({ executablePath: browserPath, chromiumSandbox: false, args: flags });
try {
  for (const width of [1280, 400]) {
    for (const colorScheme of ['light', 'dark']) {
      const where = `${width}-${colorScheme}`;
      const context = await browser.newContext({
        viewport: { width, height: width === 400 ? 860 : 900 },
        deviceScaleFactor: width === 400 ? 2 : 1,
        colorScheme,
        acceptDownloads: true,
      });
      const page = await open(context, where);
      await structure(page, where);
      await overflow(page, where);
      await page.screenshot({ path: join(folder, `${where}-top.png`) });
      for (const id of SECTIONS) {
        const section = page.locator(`#${id}`);
        // One very high picture helps nobody; Chromium cannot make one above 16384 pixels.
        const box = await section.boundingBox();
        if (box) {
          await page.screenshot({
            path: join(folder, `${where}-${id}.png`),
            fullPage: true,
            clip: { x: 0, y: box.y, width, height: Math.min(box.height, 3600) },
          });
        }
      }
      await page.evaluate(() => document.querySelectorAll('details').forEach((details) => { details.open = true; }));
      await overflow(page, `${where} unfolded`);
      if (width === 400) {
        await page.setViewportSize({ width: 360, height: 800 });
        await overflow(page, `360-${colorScheme}`);
        await page.setViewportSize({ width, height: 860 });
      }
      await page.reload();
      await sorting(page, where);
      await folding(page, where);
      if (width === 1280 && colorScheme === 'light') await saving(page, where);
      await context.close();
    }
  }
  // Without its script the page still says everything.
  const bare = await browser.newContext({ viewport: { width: 1280, height: 900 }, javaScriptEnabled: false });
  const page = await bare.newPage();
  await page.goto(url);
  const words = await page.locator('main').innerText();
  if (!words.includes('Findings') || !words.includes('Glossary')) fault('no script', 'the page is empty');
  await bare.close();
  const print = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: 'dark' });
  const paper = await open(print, 'print');
  await paper.pdf({ path: join(folder, 'print.pdf'), format: 'A4', printBackground: true, preferCSSPageSize: true });
  await print.close();
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}

if (faults.length) {
  console.error(`${file}: ${faults.length} faults`);
  for (const line of new Set(faults)) console.error(`  ${line}`);
  process.exitCode = 1;
} else {
  console.log(`${file}: holds at 1280 and 400 px, light, dark and print; pictures in ${folder}`);
}
