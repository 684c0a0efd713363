// Starts a collector that weighs itself, opens its live page in headless Chromium, and fails when the page breaks one
// of its promises: figures move, pause holds them, ranges can be chosen, what was sorted and opened stays so, nothing
// is loaded from elsewhere, no token stands in an address.
//
//   node check-live.mjs WEIGHBRIDGE SCREENSHOT_FOLDER
//
// Exit codes: 0 holds, 1 a promise is broken, 2 usage.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { accessible, fault, finish, folder, launch, open, overflow } from './lib.mjs';

const [program, pictures] = process.argv.slice(2);
if (!program || !pictures || !existsSync(program)) {
  console.error('usage: node check-live.mjs WEIGHBRIDGE SCREENSHOT_FOLDER (WEIGHBRIDGE is the binary)');
  process.exit(2);
}
const shot = folder(pictures);
const work = mkdtempSync(join(tmpdir(), 'weighbridge-live-'));
const SECRET = 'a-token-for-the-test-0123456789abcdef';

/** A running collector whose own windows are of one second; with a token when asked for. */
async function collector(name, settings = []) {
  const child = spawn(program, ['collect', '--data', join(work, name), '--listen-http', '127.0.0.1:0', ...settings], {
    env: { ...process.env, NO_COLOR: '1', WEIGHBRIDGE_WINDOW: '1s', OTEL_SERVICE_NAME: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  const url = await new Promise((resolve, reject) => {
    const patience = setTimeout(() => reject(new Error(`the collector did not start:\n${said}`)), 30000);
    const hear = (chunk) => {
      said += chunk;
      const found = said.match(/listening on (http:\/\/\S+)/);
      if (found) {
        clearTimeout(patience);
        resolve(found[1]);
      }
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.on('exit', (code) => reject(new Error(`the collector ended with ${code}:\n${said}`)));
  });
  const end = () => new Promise((resolve) => {
    child.on('exit', resolve);
    child.kill('SIGTERM');
  });
  return { url, end };
}

const frames = (page) => page.locator('#live').evaluate((main) => Number(main.dataset.frames || 0));
const moved = (page, since) => page.waitForFunction(
  (before) => Number(document.getElementById('live').dataset.frames || 0) > before,
  since,
  { timeout: 20000 },
);

const browser = await launch();
const running = [];
try {
  const plain = await collector('plain');
  running.push(plain);
  const where = 'live';
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await open(context, `${plain.url}/`, where, (to) => to.startsWith(`${plain.url}/`));
  // Its own requests are what it weighs: a few make a window.
  await page.waitForSelector('#t-services tbody tr', { timeout: 30000 })
    .catch(() => fault(where, 'no service is shown after 30 s'));
  const before = await page.locator('#live').innerText();
  await page.waitForFunction((text) => document.getElementById('live').innerText !== text, before, { timeout: 20000 })
    .catch(() => fault(where, 'the figures do not move'));
  await overflow(page, where);
  await accessible(page, where);
  await page.screenshot({ path: shot('live-light.png') });

  // Several kinds of its own requests make a table that can be sorted.
  await page.waitForSelector('#t-origins.sort', { timeout: 20000 })
    .catch(() => fault(where, 'its own requests are not told apart'));
  // What was sorted and opened stays so when new figures come.
  await page.locator('#t-origins thead th').nth(2).locator('button').click();
  const sort = await page.locator('#t-origins thead th').nth(2).getAttribute('aria-sort');
  const details = page.locator('#origins details').first();
  if (await details.count()) await details.evaluate((element) => { element.open = true; });
  await moved(page, await frames(page));
  if (await page.locator('#t-origins thead th').nth(2).getAttribute('aria-sort') !== sort) fault(where, 'new figures undo the sorting');
  if (await details.count() && !await details.evaluate((element) => element.open)) fault(where, 'new figures fold what was open');

  // Pause holds the figures.
  await page.locator('#pause').click();
  const held = await frames(page);
  await page.waitForTimeout(5000);
  if (await frames(page) !== held) fault(where, 'figures come in while paused');
  await page.locator('#pause').click();
  await moved(page, held);

  // Another range.
  const asked = page.waitForRequest((request) => request.url().includes('last=15m'), { timeout: 10000 });
  await page.locator('#last').selectOption('15m');
  await asked.catch(() => fault(where, 'choosing a range asks for nothing'));
  await moved(page, await frames(page));
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.setViewportSize({ width: 360, height: 800 });
  await overflow(page, 'live 360');
  await page.screenshot({ path: shot('live-360-dark.png') });
  await context.close();

  // With a token: asked for, sent in a header, never in an address.
  const config = join(work, 'locked.toml');
  writeFileSync(config, `[[token]]\nname = "people"\nsecret = "${SECRET}"\n`);
  const locked = await collector('locked', ['--config', config]).catch((error) => {
    fault('token', error.message);
    return null;
  });
  if (locked) {
    running.push(locked);
    const guarded = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    const sent = [];
    const door = await guarded.newPage();
    door.on('request', (request) => sent.push(request.url()));
    door.on('pageerror', (error) => fault('token', `script error: ${error.message}`));
    await door.goto(`${locked.url}/`);
    await door.locator('#token').waitFor({ state: 'visible', timeout: 10000 })
      .catch(() => fault('token', 'no token is asked for'));
    if (await door.locator('#live table').count()) fault('token', 'figures are shown without a token');
    await door.locator('#token').fill(SECRET);
    await door.locator('#token-form button').click();
    await door.waitForSelector('#t-services tbody tr', { timeout: 30000 })
      .catch(() => fault('token', 'the right token shows nothing'));
    if (sent.some((url) => url.includes(SECRET))) fault('token', 'the token stands in an address');
    await guarded.close();
  }
} finally {
  await browser.close();
  await Promise.all(running.map((one) => one.end()));
  rmSync(work, { recursive: true, force: true });
}
finish('the live page', `holds; pictures in ${pictures}`);
