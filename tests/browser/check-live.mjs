// Opens the live page of a collector in headless Chromium while the demo runs, and that of one which weighs itself and
// asks for a token, and fails when a page breaks one of its promises: figures move, pause holds them, ranges can be
// chosen, what was sorted, opened and has the focus stays so, hostile names stay text, nothing is loaded from elsewhere,
// no token stands in an address.
//
//   node check-live.mjs WEIGHBRIDGE SCREENSHOT_FOLDER
//
// Exit codes: 0 holds, 1 a promise is broken, 2 usage.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kept } from './kept.mjs';
import {
  accessible, alone, fault, finish, folder, harmless, launch, open, overflow, readable, schemes, structure, unfold,
} from './lib.mjs';
import { send } from './spans.mjs';

const [program, pictures] = process.argv.slice(2);
if (!program || !pictures || !existsSync(program)) {
  console.error('usage: node check-live.mjs WEIGHBRIDGE SCREENSHOT_FOLDER (WEIGHBRIDGE is the binary)');
  process.exit(2);
}
const shot = folder(pictures);
const work = mkdtempSync(join(tmpdir(), 'weighbridge-live-'));
const SECRET = 'a-token-for-the-test-0123456789abcdef';

/** A running program, as soon as it says where it can be reached. */
async function started(args, says) {
  const child = spawn(program, args, {
    env: { ...process.env, NO_COLOR: '1', WEIGHBRIDGE_WINDOW: '1s', OTEL_SERVICE_NAME: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  const ended = new Promise((resolve) => { child.on('exit', resolve); });
  const url = await new Promise((resolve, reject) => {
    const patience = setTimeout(() => reject(new Error(`${args[0]} did not start:\n${said}`)), 60000);
    const hear = (chunk) => {
      said += chunk;
      const found = said.match(says);
      if (found) {
        clearTimeout(patience);
        resolve(found[1]);
      }
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    ended.then((code) => reject(new Error(`${args[0]} ended with ${code}:\n${said}`)));
  });
  const end = () => {
    child.kill('SIGTERM');
    return ended;
  };
  return { url, end, said: () => said };
}

/** A collector that weighs itself, with windows of a second. */
const collector = (name, settings) => started(
  ['collect', '--data', join(work, name), '--listen-http', '127.0.0.1:0', ...settings],
  /listening on (http:\/\/\S+)/,
);

/** The demo; its load begins when it says where it can be watched. */
const demo = () => started(['demo', '--seconds', '150', '--seed', '3', '--out', join(work, 'demo')], /live at (http:\/\/\S+?)\/?\s/);

const frames = (page) => page.locator('#live').evaluate((main) => Number(main.dataset.frames || 0));
const moved = (page, since) => page.waitForFunction(
  (before) => Number(document.getElementById('live').dataset.frames || 0) > before,
  since,
  { timeout: 20000 },
);

/** The exact figures of a table: by the name of the row, its cells. */
const figures = (page, table) => page.locator(`#${table} tbody tr`).evaluateAll((rows) => Object.fromEntries(rows.map((row) => [
  row.cells[0].textContent, Array.from(row.cells).slice(1).map((cell) => cell.dataset.v ?? cell.textContent),
])));
const text = (page) => page.locator('#live').innerText();

/** What the page of a running demo must do. */
async function watched(browser, running) {
  const where = 'live';
  const asked = [];
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await open(context, `${running.url}/`, where, (to) => {
    asked.push(to);
    return to.startsWith(`${running.url}/`);
  });
  for (const service of ['store', 'warehouse', 'accounting']) {
    await page.waitForFunction((name) => Array.from(document.querySelectorAll('#t-services tbody tr th'))
      .some((head) => head.textContent.startsWith(name)), service, { timeout: 30000 })
      .catch(() => fault(where, `${service} is not shown after 30 s of the demo`));
  }
  await page.waitForFunction(() => /POST \/orders/.test(document.getElementById('t-origins')?.textContent), null, { timeout: 30000 })
    .catch(() => fault(where, 'no order is shown after 30 s of the demo'));

  // Figures change: those of the store, and of an order, from one picture to a later one.
  const changes = async (table, row) => {
    const before = await figures(page, table);
    const name = Object.keys(before).find((head) => head.startsWith(row));
    if (!name) return fault(where, `${table} has no row of ${row}`);
    for (let turn = 0; turn < 5; turn += 1) {
      await moved(page, await frames(page)).catch(() => fault(where, 'no new figures come'));
      const after = await figures(page, table);
      if (JSON.stringify(after[name]) !== JSON.stringify(before[name])) return undefined;
    }
    return fault(where, `the figures of ${row} in ${table} stand still while the demo runs`);
  };
  await changes('t-services', 'store');
  await changes('t-origins', 'POST /orders');

  // What was sorted and opened stays so when new figures come.
  const head = page.locator('#t-origins thead th').nth(2);
  await head.locator('button').click();
  const sort = await head.getAttribute('aria-sort');
  // By its name: the order of origins changes with what they cost.
  const details = page.locator(`#${await page.locator('#origins details[id]').first().getAttribute('id')}`);
  await details.evaluate((element) => { element.open = true; });
  await moved(page, await frames(page));
  if (await head.getAttribute('aria-sort') !== sort) fault(where, 'new figures undo the sorting');
  if (!await details.evaluate((element) => element.open)) fault(where, 'new figures fold what was open');

  await kept(page, where, async () => moved(page, await frames(page)));

  // Pause: not a letter changes while the demo goes on, and then it goes on.
  await page.locator('#pause').click();
  const held = [await frames(page), await text(page)];
  const later = page.waitForRequest(() => true, { timeout: 5000 }).then((request) => request.url(), () => null);
  const came = await later;
  if (came) fault(where, `${came} is asked for while paused`);
  if (await frames(page) !== held[0] || await text(page) !== held[1]) fault(where, 'figures come in while paused');
  await page.locator('#pause').click();
  await moved(page, held[0]);
  if (await text(page) === held[1]) fault(where, 'after the pause the figures are those of before it');

  // Another range is asked for, and shown.
  const ended = async () => page.locator('#services details[id]').evaluateAll((all) => all.length);
  for (const range of ['5m', '15m', '1m']) {
    const request = page.waitForRequest((one) => one.url().includes(`last=${range}`), { timeout: 10000 });
    await page.locator('#last').selectOption(range);
    await request.catch(() => fault(where, `choosing ${range} asks for nothing`));
    await moved(page, await frames(page)).catch(() => fault(where, `nothing comes of ${range}`));
    if (await page.locator('#last').inputValue() !== range) fault(where, `the choice of ${range} does not stay`);
    if (await ended() < 3) fault(where, `${range} does not show the services`);
  }

  await overflow(page, where);
  await page.locator('#pause').click();
  await accessible(page, where);
  await readable(page, where);
  await page.screenshot({ path: shot('live-light.png') });
  await page.screenshot({ path: shot('live-light-whole.png'), fullPage: true });
  await schemes(page, where);
  await accessible(page, `${where} dark`);
  await page.setViewportSize({ width: 360, height: 800 });
  await overflow(page, `${where} 360`);
  await readable(page, `${where} 360`);
  await page.screenshot({ path: shot('live-360-dark.png') });

  // The report that the collector makes, which is a page of its own.
  const address = `${running.url}/report.html`;
  const made = await open(context, address, 'collector report', alone(address));
  await made.setViewportSize({ width: 1280, height: 900 });
  await structure(made, 'collector report');
  await overflow(made, 'collector report');
  await accessible(made, 'collector report');
  if (await made.locator('#t-origins tbody tr').count() < 2) fault('collector report', 'there are no origins');
  await unfold(made);
  await made.setViewportSize({ width: 360, height: 800 });
  await overflow(made, 'collector report 360');
  await made.screenshot({ path: shot('live-report.png') });
  await made.close();
  const secret = asked.filter((to) => /token|bearer|authorization/i.test(to));
  if (secret.length) fault(where, `an address that holds a token: ${secret[0]}`);
  console.log(`the live page asked for ${asked.length} things of its own collector and nothing else`);
  await context.close();
}

/** A name that would be script, markup and a lie about the order of its letters. */
const HOSTILE = '"><img src=x onerror="globalThis.ran=1">\u202e</script><script>globalThis.ran=1</script>';

/** The same of a path: its parts that begin like a placeholder are kept, others would be taken out as somebody's data. */
const HOSTILE_PATH = '/<script>globalThis.ran=1</script>\u202e<svg/onload>';

/** Hostile names, ranges of different length, and pictures that cannot be made. */
async function mended(browser, running) {
  const where = 'hostile';
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  await send(running.url, HOSTILE, HOSTILE_PATH, 7, 120);
  await send(running.url, HOSTILE, HOSTILE_PATH, 5, 15);
  const page = await open(context, `${running.url}/`, where, (to) => to.startsWith(`${running.url}/`));
  // A longer range holds more requests: seven of the twelve ended two minutes ago.
  const ended = (count) => page.waitForFunction(([name, wanted]) => {
    const row = Array.from(document.querySelectorAll('#services tr[id^=operation]'))
      .find((one) => one.cells[0].textContent.includes(name));
    const head = row && Array.from(row.closest('table').tHead.rows[0].cells).find((cell) => cell.textContent === 'Ended');
    return row && row.cells[head.cellIndex].textContent === String(wanted);
  }, ['<script>globalThis.ran=1', count], { timeout: 30000 }).catch(() => fault(where, `${count} requests are not shown`));
  await ended(5);
  await page.locator('#last').selectOption('5m');
  await ended(12);
  await harmless(page, where, '#live', { scripts: 0, styles: 0 });
  await overflow(page, where);
  await accessible(page, where);
  await page.screenshot({ path: shot('live-hostile.png') });

  // A picture that cannot be made is told of, and the next one that can is shown.
  const held = await frames(page);
  const why = `other reports are being made ${HOSTILE}`;
  await page.route('**/api/v1/live/stream*', (route) => route.fulfill({
    contentType: 'application/x-ndjson', body: `${JSON.stringify({ error: why })}\n`,
  }));
  await page.locator('#last').selectOption('15m');
  await page.waitForFunction((said) => document.getElementById('state').textContent.includes(`could not be made anew: ${said}`), why, { timeout: 10000 })
    .catch(() => fault(where, 'nothing is said of a picture that could not be made'));
  await harmless(page, `${where} refused`, 'main', { scripts: 0, styles: 0 });
  if (await page.locator('#live table').count() === 0) fault(where, 'a picture that could not be made takes the last one away');
  await page.unroute('**/api/v1/live/stream*');
  await moved(page, held).catch(() => fault(where, 'no figures come after one that could not be made'));
  if (await page.locator('#state').innerText()) fault(where, 'the failure is still told of when figures came');
  await context.close();
}

const browser = await launch();
const running = [];
try {
  const shop = await demo();
  running.push(shop);
  await watched(browser, shop);

  const strangers = await collector('strangers', []);
  running.push(strangers);
  await mended(browser, strangers);

  // With a token: asked for, sent in a header, never in an address.
  const config = join(work, 'locked.toml');
  writeFileSync(config, `[[token]]\nname = "people"\nsecret = "${SECRET}"\n`);
  const locked = await collector('locked', ['--config', config]);
  running.push(locked);
  const guarded = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const sent = [];
  // What a locked collector refuses would stand among the errors of the browser: the page asks for nothing there.
  const door = await open(guarded, `${locked.url}/`, 'token', (to) => {
    sent.push(to);
    return to.startsWith(`${locked.url}/`);
  });
  await door.locator('#token').waitFor({ state: 'visible', timeout: 10000 })
    .catch(() => fault('token', 'no token is asked for'));
  if (await door.locator('#live table').count()) fault('token', 'figures are shown without a token');
  if (await door.locator('#reports').isVisible()) fault('token', 'links that lead to a refusal are shown');
  await door.locator('#last').selectOption('5m');
  await door.locator('#pause').click();
  await door.locator('#pause').click();
  const early = sent.filter((to) => to.includes('/api/'));
  if (early.length) fault('token', `${early[0]} is asked for without a token`);
  await accessible(door, 'token');
  await door.locator('#token').fill(SECRET);
  await door.locator('#token-form button').click();
  await door.waitForSelector('#t-services tbody tr', { timeout: 30000 })
    .catch(() => fault('token', 'the right token shows nothing'));
  if (sent.some((url) => url.includes(SECRET))) fault('token', 'the token stands in an address');
  await guarded.close();
} finally {
  await browser.close();
  await Promise.all(running.map((one) => one.end()));
  rmSync(work, { recursive: true, force: true });
}
finish('the live page', `holds; pictures in ${pictures}`);
