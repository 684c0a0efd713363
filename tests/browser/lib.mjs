// What the checks of both pages share.

import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
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
export async function structure(page, where, wanted = SECTIONS) {
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
      // Each figure names the table that holds the same, and that one stands in its section.
      alone: Array.from(document.querySelectorAll('figure'))
        .filter((figure) => {
          const table = document.getElementById(figure.getAttribute('aria-details'));
          return table?.localName !== 'table' || table.closest('section') !== figure.closest('section')
            || !table.querySelector('tbody td');
        })
        .map((figure) => figure.id),
      headings: document.querySelectorAll('h1').length,
      blank: Array.from(document.querySelectorAll('td'))
        .filter((cell) => /NaN|undefined|Infinity|not a number/.test(cell.textContent)).length,
      findings: document.querySelectorAll('.findings > li').length,
    };
  }, wanted);
  if (found.missing.length) fault(where, `sections missing: ${found.missing}`);
  if (found.headless.length) fault(where, `sections without a heading: ${found.headless}`);
  if (!found.order) fault(where, 'sections are not in their order');
  if (found.repeated.length) fault(where, `identifiers used twice: ${found.repeated}`);
  if (found.dead.length) fault(where, `links to nowhere: ${found.dead}`);
  if (found.away.length) fault(where, `references out of the file: ${found.away}`);
  if (found.uncaptioned) fault(where, `${found.uncaptioned} tables without caption or scope`);
  if (found.untitled) fault(where, `${found.untitled} charts without title, description or role`);
  if (found.alone.length) fault(where, `figures without a table of their own: ${found.alone}`);
  if (found.headings !== 1) fault(where, `${found.headings} first headings`);
  if (found.blank) fault(where, `${found.blank} cells with a number that is none`);
  if (found.findings > 5) fault(where, `${found.findings} findings; five is the most`);
}

/** The text of the document that is embedded in a page. */
export const textOf = (page) => page.evaluate(async () => {
  const data = document.getElementById('report');
  if (data.type === 'application/json') return data.textContent;
  const bytes = Uint8Array.from(atob(data.textContent), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))).text();
});

/** The numbers of a document, each as it is written, in their order. What is escaped parts the digits beside it. */
const digits = (text) => text.replace(/\\u[0-9a-f]{4}/gi, ' ').match(/-?\d+(\.\d+)?([eE][+-]?\d+)?/g);

/**
 * What the button saves is what stands in the page, to the byte, and has the digits of the document that `report`
 * wrote (`written`, its text). A document with larger integers than a script can hold keeps them.
 */
export async function saving(page, where, to, written) {
  const wait = page.waitForEvent('download', { timeout: 10000 }).catch(() => null);
  await page.locator('#save').click();
  const download = await wait;
  if (!download) return fault(where, 'the button saves nothing');
  if (download.suggestedFilename() !== 'report.json') fault(where, `the button saves ${download.suggestedFilename()}`);
  await download.saveAs(to);
  const saved = readFileSync(to);
  const embedded = Buffer.from(`${await textOf(page)}\n`);
  if (!saved.equals(embedded)) fault(where, `the button saves ${saved.length} other bytes than the ${embedded.length} in the page`);
  if (JSON.parse(saved.toString()).schema_version !== 1) fault(where, 'what the button saves is not the document');
  const [got, want] = [digits(saved.toString()), digits(written)];
  const at = want.findIndex((number, index) => got[index] !== number);
  if (at >= 0 || got.length !== want.length) fault(where, `the document has ${want[at]} where the button saves ${got[at]}`);
  return want.filter((number) => /^-?\d{16,}$/.test(number) && !Number.isSafeInteger(Number(number))).length;
}

/** Every row of every table has an identifier, and a link to itself. */
export async function linked(page, where) {
  const bad = await page.evaluate(() => Array.from(document.querySelectorAll('tbody tr'))
    .filter((row) => !row.id || row.querySelectorAll(`:scope > :first-child > .self[href="#${CSS.escape(row.id)}"]`).length !== 1)
    .map((row) => `${row.closest('table').caption.textContent}: ${row.cells[0].textContent}`));
  if (bad.length) fault(where, `${bad.length} rows without a link to them: ${bad.slice(0, 5)}`);
}

/**
 * The identifier that the page's script gives a row is that of its words, in whatever letters and wherever it stands: a
 * link that was mailed leads to its own row of the next report, or to none.
 */
export async function sameIds(page, where) {
  const rows = [['store', 'a'], ['東京', 'a'], ['大阪', 'a'], ['Склад', 'a'], ['GET /a/b', 'a'], ['GET /a-b', 'a'], ['twice', 'a'], ['twice', 'b']];
  const [there, back] = await page.evaluate((all) => [all, [...all].reverse()].map((order) => {
    const box = document.body.appendChild(document.createElement('div'));
    const table = box.appendChild(document.createElement('table'));
    table.id = 't-probe';
    table.createCaption().textContent = 'Probe';
    const body = table.createTBody();
    for (const [head, beside] of order) {
      const row = body.insertRow();
      row.appendChild(document.createElement('th')).textContent = head;
      const cell = row.insertCell();
      cell.className = 'w';
      cell.textContent = beside;
    }
    globalThis.weighbridge.enhance(box);
    const ids = Object.fromEntries(order.map((words, at) => [words.join(' '), body.rows[at].id]));
    box.remove();
    return ids;
  }), rows);
  const ids = new Set(Object.values(there));
  if (ids.size !== rows.length) fault(where, `${rows.length} rows have ${ids.size} identifiers: ${[...ids]}`);
  if (there['store a'] !== 't-probe-store') fault(where, `the row of store is #${there['store a']}`);
  for (const [words, id] of Object.entries(there)) {
    if (!/^[a-z0-9-]+$/.test(id)) fault(where, `the row “${words}” is #${id}`);
    if (back[words] !== id) fault(where, `the row “${words}” is #${id}, and #${back[words]} where its table has another order`);
  }
}

/** Where nothing can hover the links to rows are seen all the time, and lead to their rows. */
export async function touched(page, where) {
  const found = await page.evaluate(() => {
    const rows = Array.from(document.querySelectorAll('tbody tr')).filter((row) => row.checkVisibility());
    const hidden = rows.filter((row) => {
      const link = row.querySelector('.self');
      const box = link?.getBoundingClientRect();
      return !link || Number(getComputedStyle(link).opacity) < 0.5 || box.width < 10 || box.height < 10;
    });
    return {
      rows: rows.length,
      hover: matchMedia('(hover: none)').matches,
      hidden: hidden.slice(0, 3).map((row) => row.id),
    };
  });
  if (!found.hover) fault(where, 'this is no page without a pointer');
  if (found.rows < 20) fault(where, `only ${found.rows} rows are in sight`);
  if (found.hidden.length) fault(where, `links to rows cannot be seen: ${found.hidden}`);
  const link = page.locator('#t-edge-ends tbody tr .self').first();
  await link.evaluate((element) => element.closest('details').setAttribute('open', ''));
  await link.tap();
  const led = await page.evaluate(() => document.querySelector('tr:target')?.closest('table').id);
  if (led !== 't-edge-ends') fault(where, `the link to a row leads to ${led}`);
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

/**
 * What nobody may see: control and direction characters, and elements that only a name could have brought. `root` is
 * the part of the page that names come into; `own` the scripts and styles that it has.
 */
export async function harmless(page, where, root = 'html', own = { scripts: 2, styles: 1 }) {
  const found = await page.evaluate((inside) => {
    const at = document.querySelector(inside);
    const deceptive = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/;
    const texts = document.createTreeWalker(at, NodeFilter.SHOW_TEXT);
    let hidden = '';
    while (!hidden && texts.nextNode()) {
      if (deceptive.test(texts.currentNode.data) && !['script', 'style'].includes(texts.currentNode.parentElement.localName)) {
        hidden = JSON.stringify(texts.currentNode.data.slice(0, 80));
      }
    }
    const attributes = [at, ...at.querySelectorAll('*')]
      .flatMap((element) => Array.from(element.attributes, (attribute) => [element.localName, attribute.name, attribute.value]));
    return {
      ran: globalThis.ran,
      hidden: hidden || attributes.filter(([, , value]) => deceptive.test(value)).map(([at, name]) => `${at} ${name}`)[0],
      handlers: attributes.filter(([, name]) => name.startsWith('on')).map(([at, name]) => `${at} ${name}`)[0],
      foreign: at.querySelectorAll('img, iframe, object, embed, link, base, video, audio, template, foreignObject').length,
      scripts: at.querySelectorAll('script').length,
      styles: at.querySelectorAll('style').length,
      polluted: Object.keys(Object.prototype).length,
    };
  }, root);
  if (found.ran !== undefined) fault(where, 'a script out of a name ran');
  if (found.hidden) fault(where, `characters that hide or reorder text: ${found.hidden}`);
  if (found.handlers) fault(where, `an attribute that runs: ${found.handlers}`);
  if (found.foreign) fault(where, `${found.foreign} elements that are none of ours`);
  if (found.scripts !== own.scripts || found.styles !== own.styles) fault(where, `${found.scripts} scripts and ${found.styles} styles`);
  if (found.polluted) fault(where, 'the prototype of all objects has new fields');
}

/** How light a colour is, by the formula of WCAG: 0 black, 1 white. */
const luminance = (colour) => {
  const [red, green, blue] = colour.match(/[\d.]+/g).slice(0, 3).map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};

/** Light is dark ink on light ground, dark the reverse, and the charts have colours of their own in each. */
export async function schemes(page, where) {
  const seen = {};
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    seen[colorScheme] = await page.evaluate(() => {
      const drawn = Array.from(document.querySelectorAll('svg.chart [class^="f-"]'))
        .filter((mark) => !/f-(text|muted|rule|page)/.test(mark.getAttribute('class')));
      return {
        ground: getComputedStyle(document.body).backgroundColor,
        ink: getComputedStyle(document.body).color,
        table: getComputedStyle(document.querySelector('tbody th')).backgroundColor,
        fills: Object.fromEntries(drawn.map((mark) => [mark.getAttribute('class'), getComputedStyle(mark).fill])),
      };
    });
  }
  for (const [scheme, { ground, ink, table }] of Object.entries(seen)) {
    const [lit, dim] = scheme === 'light' ? [[ground, table], [ink]] : [[ink], [ground, table]];
    for (const colour of lit) if (luminance(colour) < 0.6) fault(where, `${scheme}: ${colour} is dark (ground ${ground}, ink ${ink})`);
    for (const colour of dim) if (luminance(colour) > 0.1) fault(where, `${scheme}: ${colour} is light (ground ${ground}, ink ${ink})`);
  }
  const kinds = Object.keys(seen.light.fills);
  if (!kinds.length) fault(where, 'no chart has a colour');
  for (const kind of kinds) {
    if (seen.light.fills[kind] === seen.dark.fills[kind]) fault(where, `${kind} of the charts is ${seen.light.fills[kind]} in light and in dark`);
  }
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

/**
 * What is written in charts can be read: nothing is cut at the edge of the page, and on the map no words stand over
 * others or out of their box. Flame graphs scroll in boxes of their own.
 */
export async function readable(page, where) {
  const found = await page.evaluate(() => {
    const seen = (chart) => chart.getBoundingClientRect().width > 0 && !chart.closest('.flame-box');
    const charts = Array.from(document.querySelectorAll('svg.chart')).filter(seen);
    const words = (chart) => Array.from(chart.querySelectorAll('text'), (text) => ({
      what: text.textContent.trim(), box: text.getBoundingClientRect(), node: text.parentElement.querySelector(':scope > .node'),
    })).filter(({ what, box }) => what && box.width > 0);
    const cut = charts.flatMap((chart) => words(chart)
      .filter(({ box }) => box.left < -0.5 || box.right > document.documentElement.clientWidth + 0.5)
      .map(({ what }) => `${chart.parentElement.id}: ${what}`));
    // Above and below its letters a box of text is empty.
    const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top + 3 < b.bottom - 3 && b.top + 3 < a.bottom - 3;
    const over = [];
    for (const chart of charts.filter((one) => one.closest('#chart-map'))) {
      const all = words(chart);
      all.forEach(({ what, box, node }, index) => {
        const other = all.slice(index + 1).find((one) => meet(box, one.box));
        if (other) over.push(`${what} and ${other.what}`);
        const around = node?.getBoundingClientRect();
        if (around && (box.left < around.left || box.right > around.right)) over.push(`${what} and the edge of its box`);
      });
    }
    return { charts: charts.length, cut: cut.slice(0, 5), over: over.slice(0, 5) };
  });
  if (found.cut.length) fault(where, `words of charts are cut: ${found.cut.join('; ')}`);
  if (found.over.length) fault(where, `words of the map stand over others: ${found.over.join('; ')}`);
  return found.charts;
}

/** Where the first of some parts stands in the window; null where there is none, or nothing of it to be seen. */
export async function boxOf(page, selector) {
  const part = page.locator(selector).first();
  const box = await part.count() ? await part.boundingBox() : null;
  return box?.height > 0 ? box : null;
}

/** Highest picture: a higher one helps nobody, and Chromium makes none above 16384 pixels. */
const PICTURE_HEIGHT = 3600;

/** The height of a PNG, from its first chunk. */
const pngHeight = (path) => readFileSync(path).readUInt32BE(20);

/**
 * Pictures of a section from its top to its end: `path`, and where one is not enough the same with `-2`, `-3`, … Nothing
 * to be seen, or less than there is, is a fault.
 */
export async function picture(page, where, selector, path, width) {
  const box = await boxOf(page, selector);
  if (!box) return fault(where, `there is no ${selector} to take a picture of`);
  const [scrolled, scale] = await page.evaluate(() => [scrollY, devicePixelRatio]);
  let taken = 0;
  for (let part = 1; taken < box.height; part += 1) {
    const file = part === 1 ? path : path.replace(/\.png$/, `-${part}.png`);
    const height = Math.min(box.height - taken, PICTURE_HEIGHT);
    await page.screenshot({ path: file, fullPage: true, clip: { x: 0, y: box.y + scrolled + taken, width, height } });
    const got = pngHeight(file) / scale;
    if (got < height - 1) return fault(where, `the picture of ${selector} is cut: ${taken + got} of ${box.height} px`);
    taken += height;
  }
  return undefined;
}

/** Each section has a picture, taken since `began` (ms): one of an earlier run says nothing of this one. */
export function pictured(where, file, began) {
  for (const id of SECTIONS) {
    const path = file(id);
    if (!existsSync(path) || statSync(path).mtimeMs < began) fault(where, `there is no picture of #${id}`);
  }
}

export const folder = (path) => {
  mkdirSync(path, { recursive: true });
  return (name) => join(path, name);
};
