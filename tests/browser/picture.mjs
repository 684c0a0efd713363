// A picture of the first page of a report, for the README.
//
//   node picture.mjs REPORT.html PICTURE.png WIDTH HEIGHT
//
// Exit codes: 0 made, 1 the page broke a promise, 2 usage.

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { alone, boxOf, fault, finish, launch, open } from './lib.mjs';

const [report, picture, width, height] = process.argv.slice(2);
if (!report || !existsSync(report) || !(width > 0) || !(height > 0)) {
  console.error('usage: node picture.mjs REPORT.html PICTURE.png WIDTH HEIGHT (REPORT.html must exist)');
  process.exit(2);
}
const url = pathToFileURL(resolve(report)).href;
const browser = await launch();
try {
  const context = await browser.newContext({
    viewport: { width: Number(width), height: Number(height) }, colorScheme: 'light',
  });
  const page = await open(context, url, 'picture', alone(url));
  // What the README says of the picture must be in it, whole: a page goes on below its window.
  for (const part of ['.tiles', '.findings > li']) {
    const box = await boxOf(page, part);
    if (!box) fault('picture', `there is no ${part} to be seen`);
    else if (box.y < 0 || box.y + box.height > height) fault('picture', `${part} ends at ${box.y + box.height} px, below the picture`);
  }
  await page.screenshot({ path: picture });
} finally {
  await browser.close();
}
finish(report, `seen in ${picture}`);
