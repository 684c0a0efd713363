// Opens the demo's report in headless Chromium, wide and narrow, light and dark, and as print, and fails when the page
// breaks one of its promises. Its sliders are held to what the program says that made it.
//
//   node check-report.mjs REPORT.html SCREENSHOT_FOLDER WEIGHBRIDGE LEDGER
//
// WEIGHBRIDGE is the binary, LEDGER the collector's directory that the report was made from. CHROMIUM names the browser
// (default /usr/bin/chromium). Exit codes: 0 holds, 1 a promise is broken, 2 usage.

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { byKeyboard } from './keyboard.mjs';
import {
  accessible, alone, fault, finish, folder, launch, open as openAny, overflow, picture, SECTIONS, structure, unfold,
} from './lib.mjs';
import { close, documentOf, set, shown, slidersAgree } from './sliders.mjs';

const [file, pictures, program, ledger] = process.argv.slice(2);
if (![file, pictures, program, ledger].every(Boolean) || ![file, program, ledger].every(existsSync)) {
  console.error('usage: node check-report.mjs REPORT.html SCREENSHOT_FOLDER WEIGHBRIDGE LEDGER (all but the second must exist)');
  process.exit(2);
}
const shot = folder(pictures);
const url = pathToFileURL(resolve(file)).href;
const profile = mkdtempSync(join(tmpdir(), 'weighbridge-report-'));
const open = (context, where) => openAny(context, url, where, alone(url));

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

/** What the sliders do beside the model: prices, targets and growth move the figures the way they must. */
async function sliding(page, where) {
  if (await page.locator('#sliders').count() === 0) return fault(where, 'there are no sliders');
  // Money: half a core-hour price is half the money, and no price is none.
  await set(page, 's-load', 2);
  await set(page, 's-gib', 0);
  await set(page, 's-core', 1);
  await page.waitForFunction(() => document.querySelector('#t-what-if tbody tr .w-money').dataset.v !== undefined);
  const dear = await shown(page, 't-what-if', 0, 'money');
  await set(page, 's-core', 0.5);
  const cheap = await shown(page, 't-what-if', 0, 'money');
  if (!(dear > 0) || !close(cheap, dear / 2)) fault(where, `half the price is not half the money: ${dear}, ${cheap}`);
  // A lower target needs no fewer processes.
  const before = await shown(page, 't-what-if', 0, 'replicas');
  await set(page, 's-target', 30);
  const after = await shown(page, 't-what-if', 0, 'replicas');
  if (after < before) fault(where, `fewer processes at a lower target: ${before}, ${after}`);
  await set(page, 's-growth', 10);
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
  await accessible(page, where);
  // As wide as A4 between its margins.
  await page.setViewportSize({ width: 703, height: 1000 });
  await overflow(page, where);
  for (const id of SECTIONS) await picture(page, `#${id}`, shot(`${where}-${id}.png`), 703);
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
      await unfold(page);
      await overflow(page, `${where} unfolded`);
      if ((width === 1280) === (colorScheme === 'dark')) await accessible(page, `${where} unfolded`);
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
        if (width === 1280) {
          await saving(page, where);
          await page.reload();
          await slidersAgree(page, await documentOf(page), { program, ledger, work: profile });
          // A page of its own: in this one the links have led somewhere, and there a keyboard would begin.
          const fresh = await open(context, 'keyboard');
          await byKeyboard(fresh, 'keyboard');
          await fresh.close();
        }
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
