// What the checks of both pages share.

import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Promises that were broken. */
export const faults = [];
export const fault = (where, what) => faults.push(`${where}: ${what}`);

/** Ends the program: 0 when all promises hold, 1 when one is broken. */
export function finish(what, says) {
  if (faults.length) {
    console.error(`${what}: ${faults.length} faults`);
    for (const line of new Set(faults)) console.error(`  ${line}`);
    process.exitCode = 1;
  } else {
    console.log(`${what}: ${says}`);
  }
}

/** CHROMIUM names the browser (default /usr/bin/chromium). */
export async function launch() {
  const executablePath = process.env.CHROMIUM || '/usr/bin/chromium';
  if (!existsSync(executablePath)) {
    console.error(`no browser at ${executablePath}; install chromium or name one in CHROMIUM`);
    process.exit(2);
  }
  const args = ['--disable-gpu', '--disable-background-networking', '--disable-sync', '--no-first-run'];
  return chromium.launch({ executablePath, chromiumSandbox: false, args });
}

/** A page that counts everything it should not do. `mayFetch` says which addresses are its own. */
export async function open(context, url, where, mayFetch) {
  const page = await context.newPage();
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) fault(where, `console ${message.type()}: ${message.text()}`);
  });
  page.on('pageerror', (error) => fault(where, `script error: ${error.message}`));
  page.on('request', (request) => {
    if (!mayFetch(request.url())) fault(where, `request to ${request.url().slice(0, 200)}`);
  });
  await page.goto(url, { waitUntil: 'load' });
  return page;
}

/** What axe-core finds wrong for people who use a keyboard, a screen reader or a magnifier. */
export async function accessible(page, where) {
  await page.evaluate(axe);
  const violations = await page.evaluate(async () => {
    const result = await globalThis.axe.run(document, { resultTypes: ['violations'] });
    return result.violations.map((v) => `${v.id} (${v.impact}): ${v.help}; ${v.nodes.length} times, first ${v.nodes[0].html.slice(0, 160)} ${v.nodes[0].failureSummary.split('\n')[1] || ''}`);
  });
  violations.forEach((violation) => fault(where, `axe: ${violation}`));
}

/** The page may not be wider than the window; tables scroll in their own boxes. */
export async function overflow(page, where) {
  const wide = await page.evaluate(() => {
    const limit = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= limit) return null;
    const outside = Array.from(document.querySelectorAll('body *'))
      .filter((element) => !element.closest('.box, .flame-box, svg, .skip') && element.getBoundingClientRect().right > limit + 1)
      .slice(0, 3)
      .map((element) => `${element.tagName.toLowerCase()}.${element.className} #${element.closest('[id]')?.id}`);
    return `${document.documentElement.scrollWidth} > ${limit}: ${outside.join(', ')}`;
  });
  if (wide) fault(where, `the page overflows sideways: ${wide}`);
}

/** A picture of a section; one very high picture helps nobody, and Chromium makes none above 16384 pixels. */
export async function picture(page, selector, path, width) {
  const box = await page.locator(selector).first().boundingBox();
  if (!box || box.height === 0) return;
  await page.screenshot({
    path,
    fullPage: true,
    clip: { x: 0, y: box.y + await page.evaluate(() => scrollY), width, height: Math.min(box.height, 3600) },
  });
}

export const folder = (path) => {
  mkdirSync(path, { recursive: true });
  return (name) => join(path, name);
};
