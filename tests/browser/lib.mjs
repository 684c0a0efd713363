// What the checks of both pages share.

import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** The sections that every report has, in their order. */
export const SECTIONS = ['findings', 'origins', 'map', 'edges', 'entities', 'memory', 'services', 'capacity',
  'recommendations', 'what-if', 'change', 'predictions', 'conservation', 'quality', 'method', 'glossary', 'data'];

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

/**
 * A page that counts everything it should not do. `mayFetch` says which addresses are its own; `before` gets the page
 * before it goes anywhere.
 */
export async function open(context, url, where, mayFetch, before = () => {}) {
  const page = await context.newPage();
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) fault(where, `console ${message.type()}: ${message.text()}`);
  });
  page.on('pageerror', (error) => fault(where, `script error: ${error.message}`));
  page.on('dialog', (dialog) => {
    fault(where, `a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('request', (request) => {
    if (!mayFetch(request.url())) fault(where, `request to ${request.url().slice(0, 200)}`);
  });
  await before(page);
  await page.goto(url, { waitUntil: 'load' });
  return page;
}

/** The file itself, its parts, and the document that its button saves; nothing else may be asked for. */
export const alone = (url) => (to) => to === url || to.startsWith(`${url}#`) || to.startsWith('blob:');

/** Opens every part of the page that can be folded. */
export const unfold = (page) => page.evaluate(() => {
  document.querySelectorAll('details').forEach((details) => { details.open = true; });
});

/** Promises of every report that do not depend on size or colour. */
export async function structure(page, where) {
  const found = await page.evaluate((sections) => {
    const ids = Array.from(document.querySelectorAll('[id]'), (element) => element.id);
    return {
      missing: sections.filter((id) => !document.getElementById(id)),
      headless: sections.filter((id) => document.getElementById(id) && !document.querySelector(`#${id} h2`)),
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
  if (found.headless.length) fault(where, `sections without a heading: ${found.headless}`);
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
