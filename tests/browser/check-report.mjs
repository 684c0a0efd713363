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
import { drilling } from './drilling.mjs';
import { byKeyboard } from './keyboard.mjs';
import {
  accessible, alone, fault, finish, folder, launch, linked, open as openAny, overflow, picture, pictured, readable, saving,
  schemes, SECTIONS, structure, touched, unfold,
} from './lib.mjs';
import { close, documentOf, set, shown, slidersAgree } from './sliders.mjs';

const [file, pictures, program, ledger] = process.argv.slice(2);
if (![file, pictures, program, ledger].every(Boolean) || ![file, program, ledger].every(existsSync)) {
  console.error('usage: node check-report.mjs REPORT.html SCREENSHOT_FOLDER WEIGHBRIDGE LEDGER (all but the second must exist)');
  process.exit(2);
}
const shot = folder(pictures);
const url = pathToFileURL(resolve(file)).href;
// The document stands beside its page.
const json = file.replace(/\.html$/, '.json');
const began = Date.now();
const profile = mkdtempSync(join(tmpdir(), 'weighbridge-report-'));
const open = (context, where) => openAny(context, url, where, alone(url));

/** What a table's column shows, in the order of its rows; null where it is not known or there is nothing. */
const column = (page, table, index, words) => page.locator(`#${table} tbody tr`).evaluateAll((rows, [at, plain]) => rows.map((row) => {
  const cell = row.cells[at];
  // Without the link to the row, which is no part of its words.
  const text = Array.from(cell.childNodes).filter((node) => node.className !== 'self').map((node) => node.textContent).join('').trim();
  if (plain) return text;
  const value = parseFloat(cell.dataset.v ?? text.replace(/,/g, '').replace('−', '-'));
  return Number.isNaN(value) ? null : value;
}), [index, words]);

/** Sorts every column of some tables in both directions: figures by their exact value, words by the alphabet. */
async function sorting(page, where) {
  const seen = { figures: 0, words: 0, unknown: 0 };
  for (const table of ['t-origins', 't-edges', 't-services', 't-obstacles', 't-edge-ends', 't-memory']) {
    await page.locator(`#${table}`).evaluate((element) => {
      for (let at = element; at; at = at.parentElement) if (at.localName === 'details') at.open = true;
    });
    const heads = page.locator(`#${table}.sort thead th`);
    for (let index = 0; index < await heads.count(); index += 1) {
      const words = await heads.nth(index).evaluate((head) => head.classList.contains('w'));
      for (let turn = 0; turn < 2; turn += 1) {
        await heads.nth(index).locator('button').click();
        const down = await heads.nth(index).getAttribute('aria-sort') === 'descending';
        const shown = await column(page, table, index, words);
        const known = shown.filter((value) => value !== null);
        const after = (a, b) => (words ? a.localeCompare(b, 'en') : a - b);
        const wrong = known.findIndex((value, at) => at > 0 && (down ? after(known[at - 1], value) < 0 : after(known[at - 1], value) > 0));
        if (wrong >= 0) fault(where, `${table}, column ${index}, ${down ? 'down' : 'up'}: ${known[wrong - 1]} before ${known[wrong]}`);
        // What is not known stays last in both directions.
        if (shown.slice(0, known.length).includes(null)) fault(where, `${table}, column ${index}, ${down ? 'down' : 'up'}: not known before known`);
        seen[words ? 'words' : 'figures'] += 1;
        if (known.length && known.length < shown.length) seen.unknown += 1;
      }
    }
  }
  for (const [kind, count] of Object.entries(seen)) if (!count) fault(where, `no column with ${kind} was sorted`);
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

/** What the recommendations would draw anew is drawn over the map, and listed beside it in the same order. */
async function boundaries(page, where, report) {
  const kinds = ['merge', 'split', 'move', 'replicate', 'shard'];
  const proposed = report.recommendations
    .filter(({ kind, verdict }) => kinds.includes(kind) && ['do', 'try'].includes(verdict))
    .slice(0, 9);
  const listed = await page.locator('#map .legend.proposed li').allInnerTexts();
  const titles = proposed.map(({ title }, at) => `${at + 1} ${title}`);
  if (listed.length !== titles.length) fault(where, `${listed.length} boundaries are listed of ${titles.length} that are proposed`);
  titles.forEach((title, at) => {
    const text = (listed[at] || '').replace(/\s+/g, ' ');
    if (!text.startsWith(title.slice(0, 40))) fault(where, `the boundary “${text}” stands where “${title}” belongs`);
  });
  const drawn = await page.locator('#chart-map .hull').evaluateAll((hulls) => hulls.filter((hull) => hull.checkVisibility()).length);
  if ((drawn > 0) !== (proposed.length > 0)) fault(where, `${drawn} boundaries are drawn for ${proposed.length} proposals`);
}

/** Both flame graphs of the dearest origin are there, and their table holds what they are as wide as. */
async function flames(page, where, report) {
  const [origin] = report.origins;
  const own = (pick) => origin.paths.reduce((sum, path) => sum + (pick(path)?.value ?? 0), 0);
  for (const [what, column, drawn] of [
    ['cpu', '= CPU', own((path) => (path.rows[path.rows.length - 1].startsWith('operation:') ? path.cpu.total : null))],
    ['alloc', 'Allocated', own((path) => path.alloc_bytes)],
  ]) {
    const id = `flame-0-${what}`;
    if (await page.locator(`#${id} svg.chart`).count() !== 1) {
      fault(where, `there is no #${id}`);
      continue;
    }
    const frames = await page.locator(`#${id} svg .fl`).count();
    if (frames < origin.operations.length) fault(where, `#${id} has ${frames} boxes for ${origin.operations.length} operations`);
    const listed = await page.locator(`#${id}`).evaluate((figure, head) => {
      const table = document.getElementById(figure.getAttribute('aria-details'));
      const at = Array.from(table.tHead.rows[0].cells).findIndex((cell) => cell.textContent === head);
      return at < 0 ? null : Array.from(table.tBodies[0].rows, (row) => {
        const cell = row.cells[at];
        return Number(cell.dataset.v ?? parseFloat(cell.textContent.replace(/,/g, '')));
      }).reduce((sum, value) => sum + (Number.isNaN(value) ? 0 : value), 0);
    }, column);
    // Ways that carry less than a ten-thousandth of an operation's requests are not drawn.
    if (!(drawn > 0) || listed === null || Math.abs(listed - drawn) > 0.01 * drawn) {
      fault(where, `#${id} draws ${drawn} and the column ${column} of its table holds ${listed}`);
    }
  }
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
  // The money of each origin is its cores at that price, however the table is sorted.
  const origins = await page.locator('#t-origins').evaluate((table) => {
    const column = (name) => Array.from(table.tHead.rows[0].cells, (head) => head.textContent).indexOf(name);
    const [cores, money] = [column('= Cores'), column('Money/h')];
    const of = (cell) => Number(cell.dataset.v ?? NaN);
    return Array.from(table.tBodies[0].rows, (row) => [row.cells[0].textContent, of(row.cells[cores]), of(row.cells[money])]);
  });
  if (!origins.some(([, , money]) => money > 0)) fault(where, 'no origin has money at a price');
  for (const [origin, cores, money] of origins) {
    if (cores > 0 && !close(money, cores / 2)) fault(where, `${origin} takes ${cores} cores and costs ${money} at 0.5 a core`);
  }
  // A lower target needs no fewer processes.
  const before = await shown(page, 't-what-if', 0, 'replicas');
  await set(page, 's-target', 30);
  const after = await shown(page, 't-what-if', 0, 'replicas');
  if (after < before) fault(where, `fewer processes at a lower target: ${before}, ${after}`);
  await set(page, 's-growth', 10);
  await picture(page, where, '#what-if', shot(`${where}-sliders.png`), page.viewportSize().width);
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
  await readable(page, where);
  for (const id of SECTIONS) await picture(page, where, `#${id}`, shot(`${where}-${id}.png`), 703);
  pictured(where, (id) => shot(`${where}-${id}.png`), began);
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
      if ((width === 1280) === (colorScheme === 'light')) await accessible(page, where);
      await unfold(page);
      await overflow(page, `${where} unfolded`);
      // Each section with all that is in it, once wide and once narrow, once light and once dark.
      if ((width === 1280) === (colorScheme === 'light')) {
        for (const id of SECTIONS) await picture(page, where, `#${id}`, shot(`${where}-${id}.png`), width);
        pictured(where, (id) => shot(`${where}-${id}.png`), began);
      }
      if (await readable(page, where) < 5) fault(where, 'there are no charts');
      if ((width === 1280) === (colorScheme === 'dark')) await accessible(page, `${where} unfolded`);
      if (width === 400) {
        await page.setViewportSize({ width: 360, height: 800 });
        await overflow(page, `360-${colorScheme}`);
        await readable(page, `360-${colorScheme}`);
      } else {
        await page.setViewportSize({ width: 1920, height: 1080 });
        await overflow(page, `1920-${colorScheme}`);
      }
      if (colorScheme === 'light') {
        await page.setViewportSize({ width, height });
        await page.reload();
        await sorting(page, where);
        await flames(page, where, await documentOf(page));
        await boundaries(page, where, await documentOf(page));
        await drilling(page, where, ['service', 'operation', 'edge']);
        await folding(page, where);
        await sliding(page, where);
        if (width === 1280) {
          await saving(page, where, join(profile, 'saved.json'), readFileSync(json, 'utf8'));
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
  const phone = await browser.newContext({ viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true });
  const held = await open(phone, 'touch');
  await linked(held, 'touch');
  await unfold(held);
  await touched(held, 'touch');
  await overflow(held, 'touch');
  await accessible(held, 'touch');
  await held.screenshot({ path: shot('touch.png') });
  await phone.close();
  const painted = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  await schemes(await open(painted, 'colours'), 'colours');
  await painted.close();
  const paper = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: 'dark' });
  await printing(await open(paper, 'print'), 'print');
  await paper.close();
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
finish(file, `holds at 360 to 1920 px, light, dark and print; pictures in ${pictures}`);
