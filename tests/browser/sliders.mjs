// The sliders of a report against the program that made it.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fault, textOf } from './lib.mjs';

/** The document that is embedded in a page. */
export const documentOf = async (page) => JSON.parse(await textOf(page));

/** Moves a slider. */
export const set = (page, id, value) => page.locator(`#${id}`).evaluate((input, to) => {
  input.value = String(to);
  input.dispatchEvent(new Event('input', { bubbles: true }));
}, value);

/** The exact value of a cell; null when it shows none. */
export const shown = (page, table, row, cell) => page.locator(`#${table} tbody tr`).nth(row).locator(`.w-${cell}`)
  .evaluate((td) => (td.dataset.v === undefined ? null : Number(td.dataset.v)));

/** The same to nine digits, or both not known. */
export const close = (a, b) => (a === null || b === undefined
  ? a === null && b === undefined
  : Math.abs(a - b) <= 1e-9 * Math.max(Math.abs(b), 1e-12));

const load = async (page, factor) => {
  await set(page, 's-load', factor);
  await page.waitForFunction((to) => document.querySelector('output[for=s-load]').textContent === `${to}×`, factor);
  // The document of a large page is unpacked first.
  await page.waitForFunction(() => document.querySelector('#t-what-if tbody tr .w-cores').dataset.v !== undefined);
};

/** What `weighbridge simulate` says at a setting. */
function simulate({ program, ledger, work }, { factor, target, core, gib }) {
  const constraints = join(work, 'prices.toml');
  writeFileSync(constraints, `[prices]\ncore_hour = ${core}\ngib_hour = ${gib}\ncurrency = "EUR"\n`);
  const run = spawnSync(program, ['simulate', '--from', ledger, '--load', `×${factor}`, '--constraints', constraints,
    '--target-utilisation', String(target), '--format', 'json'], {
    encoding: 'utf8', maxBuffer: 1 << 28, env: { ...process.env, NO_COLOR: '1' },
  });
  if (run.status !== 0) throw new Error(`simulate ended with ${run.status}: ${run.error ?? run.stderr}`);
  return JSON.parse(run.stdout);
}

const SETTINGS = [
  { factor: 0.5, target: 0.7, core: 0.04, gib: 0.005 },
  { factor: 2, target: 0.7, core: 0.04, gib: 0.005 },
  { factor: 2, target: 0.35, core: 1, gib: 0 },
  { factor: 3, target: 0.9, core: 0, gib: 0.5 },
  { factor: 5, target: 0.5, core: 0.031, gib: 0.0042 },
  { factor: 6.35, target: 0.6, core: 0.04, gib: 0.005 },
];

/** A sum that is without services says without how many. */
export async function says(page, row, cell, without, where) {
  const said = await page.locator('#t-what-if tbody tr').nth(row).locator(`.w-${cell} small`).innerText({ timeout: 1000 }).catch(() => '');
  if (said !== `without ${without} service${without > 1 ? 's' : ''}`) fault(where, `${cell} of all is without ${without} services and says: ${said}`);
}

/** Between the loads of the table, responses are read off a straight line from one to the next. */
async function between(page, report) {
  const where = 'sliders between two loads';
  let compared = 0;
  for (const factor of [0.6, 1.8, 3.35]) {
    await load(page, factor);
    for (let row = 0; row < await page.locator('#t-what-if-origins tbody tr').count(); row += 1) {
      const { operation, points } = report.capacity.latency[row];
      const after = points.findIndex((point) => point.load_factor > factor);
      const [a, b] = [points[after - 1], points[after]];
      const [low, high] = [a.response.value, b.response.value];
      const got = await shown(page, 't-what-if-origins', row, 'response');
      if (low === undefined || high === undefined) {
        if (got !== null) fault(where, `${operation} at ${factor}: ${got} beside a point that is not known`);
        continue;
      }
      const part = (factor - a.load_factor) / (b.load_factor - a.load_factor);
      if (!close(got, low * (1 - part) + high * part)) fault(where, `${operation} at ${factor}: ${got} between ${low} and ${high}`);
      compared += 1;
    }
  }
  if (!compared) fault(where, 'no response was compared');
  return compared;
}

/** Months until full, from the load at which the model says that today's processes are full. */
async function growing(page, report) {
  const where = 'sliders with growth';
  await load(page, 1.5);
  await set(page, 's-growth', 7);
  let compared = 0;
  for (let row = 0; row < await page.locator('#t-what-if tbody tr').count() - 1; row += 1) {
    const { service, saturation_load: full } = report.capacity.services[row];
    const got = await shown(page, 't-what-if', row, 'months');
    const want = full.value === undefined ? undefined : Math.max(Math.log(full.value / 1.5) / Math.log(1.07), 0);
    if (!close(got, want)) fault(where, `${service} is full in ${got} months; at ${full.value} times the load that is ${want}`);
    if (want > 0) compared += 1;
  }
  await set(page, 's-growth', 0);
  if (!compared) fault(where, 'no service becomes full');
  return compared;
}

/** A change file for what a merge or a batch advises; undefined for others. */
function changeOf({ kind, subjects }) {
  const list = (all) => JSON.stringify(all);
  if (kind === 'merge') return `[[change]]\nkind = "merge"\nservices = ${list(subjects.map((subject) => subject.service))}\n`;
  const edge = subjects.find((subject) => subject.kind === 'edge');
  return kind === 'batch' ? `[[change]]\nkind = "batch"\nedge = ${list(edge.row)}\n` : undefined;
}

/** What a recommended change saves is what `simulate` says of it at the load seen, and its money that of its cores. */
async function changesAgree(page, report, tools) {
  const where = 'sliders: changes';
  const advised = report.recommendations
    .filter((one) => ['do', 'try'].includes(one.verdict) && one.gain.unit === 'cores' && one.gain.value !== undefined);
  const rows = page.locator('#t-what-if-changes tbody tr');
  if (await rows.count() !== Math.min(advised.length, 40)) fault(where, `${await rows.count()} rows for ${advised.length} changes`);
  await set(page, 's-core', 0.25);
  let weighed = 0;
  for (const factor of [1, 3]) {
    await load(page, factor);
    for (const [row, advice] of advised.slice(0, 40).entries()) {
      const got = await shown(page, 't-what-if-changes', row, 'gain');
      if (!close(got, advice.gain.value)) fault(where, `${advice.id} saves ${got}; the report says ${advice.gain.value}`);
      const money = await shown(page, 't-what-if-changes', row, 'money');
      if (!close(money, advice.gain.value * 0.25)) fault(where, `${advice.id} saves ${money} an hour at 0.25 for a core`);
      const change = factor === 1 && changeOf(advice);
      if (!change) continue;
      const file = join(tools.work, 'change.toml');
      writeFileSync(file, change);
      const run = spawnSync(tools.program, ['simulate', '--from', tools.ledger, '--change', file, '--format', 'json'], {
        encoding: 'utf8', maxBuffer: 1 << 28, env: { ...process.env, NO_COLOR: '1' },
      });
      const [answer] = JSON.parse(run.stdout).recommendations;
      if (Math.abs(answer.gain.value - got) > 0.02 * Math.abs(got)) fault(where, `${advice.id} saves ${got}; simulate says ${answer.gain.value}`);
      weighed += 1;
    }
  }
  if (!weighed) fault(where, 'no merge or batch is advised that simulate could weigh');
  return advised.length;
}

/** The page's figures are those of the program, at each setting, for every row that is shown. */
export async function slidersAgree(page, report, tools) {
  const names = report.capacity.services.map((service) => service.service);
  const rows = await page.locator('#t-what-if tbody tr').count() - 1;
  const origins = await page.locator('#t-what-if-origins tbody tr').count();
  if (rows < 1 || origins < 1) fault('sliders', `${rows} services and ${origins} origins are shown`);
  let compared = 0;
  for (const setting of SETTINGS) {
    const where = `sliders at ${JSON.stringify(setting)}`;
    const answer = simulate(tools, setting);
    await set(page, 's-target', setting.target * 100);
    await set(page, 's-core', setting.core);
    await set(page, 's-gib', setting.gib);
    await load(page, setting.factor);
    const same = (what, got, want, within = 1e-9) => {
      compared += 1;
      const both = got !== null && want !== undefined && want !== null;
      const agree = both ? Math.abs(got - want) <= within * Math.max(Math.abs(want), 1e-12) : got === (want ?? null);
      if (!agree) fault(where, `${what}: the page says ${got}, simulate says ${want}`);
    };
    const total = { cores: [], replicas: [], memory: [], money: [] };
    for (let row = 0; row < rows; row += 1) {
      const service = answer.capacity.services.find((one) => one.service === names[row]);
      const point = service.points.find((one) => one.load_factor === setting.factor);
      for (const [cell, figure] of [['cores', point.cores], ['used', point.utilisation], ['replicas', point.replicas],
        ['memory', point.memory], ['money', point.money]]) {
        same(`${cell} of ${service.service}`, await shown(page, 't-what-if', row, cell), figure?.value);
        if (cell in total) total[cell].push(figure?.value);
      }
    }
    if (rows === names.length) {
      for (const [cell, values] of Object.entries(total)) {
        const some = values.filter((value) => value !== undefined && value !== null);
        same(`${cell} of all`, await shown(page, 't-what-if', rows, cell), some.length ? some.reduce((a, b) => a + b) : null);
        if (some.length < values.length) await says(page, rows, cell, values.length - some.length, where);
      }
    }
    // Responses: at loads of the page's own table, whose points the program makes too.
    for (let row = 0; row < origins; row += 1) {
      const { id, operation } = report.capacity.latency[row];
      const point = answer.capacity.latency.find((one) => one.id === id).points.find((one) => one.load_factor === setting.factor);
      if (point) same(`response of ${operation}`, await shown(page, 't-what-if-origins', row, 'response'), point.response.value);
    }
    // The change that `simulate` weighs is none: its "before" are the same cores.
    const [{ prediction }] = answer.recommendations;
    const cores = prediction.find((one) => one.figure === 'cores of all services');
    if (rows === names.length) same('cores of all services', await shown(page, 't-what-if', rows, 'cores'), cores.before, 0.02);
  }
  compared += await between(page, report) + await growing(page, report) + await changesAgree(page, report, tools);
  if (compared < 100) fault('sliders', `only ${compared} figures were compared`);
  console.log(`sliders: ${compared} figures compared with simulate at ${SETTINGS.length} settings`);
}
