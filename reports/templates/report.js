'use strict';
(() => {
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));

  // Heads that come in many tables say what they mean in the first; copy it to the others.
  const help = new Map();
  const nameOf = (head) => `${head.closest('table').caption.textContent}|${head.cellIndex}`;
  for (const head of all('thead th')) {
    head.scope = 'col';
    if (head.title) help.set(nameOf(head), head.title);
    else if (help.has(nameOf(head))) head.title = help.get(nameOf(head));
  }

  // A table that is wider than its box can be scrolled by the keyboard; others are no stop on the way.
  const fit = (box) => {
    if (box.scrollWidth > box.clientWidth) {
      box.tabIndex = 0;
      box.setAttribute('role', 'group');
      box.setAttribute('aria-label', `${box.querySelector('caption').textContent}, scrolls sideways`);
    } else {
      ['tabindex', 'role', 'aria-label'].forEach((name) => box.removeAttribute(name));
    }
  };
  const boxes = new ResizeObserver((entries) => entries.forEach((entry) => fit(entry.target)));
  all('.box').forEach((box) => boxes.observe(box));

  // A link to the row itself, beside its name.
  for (const row of all('tr[id]')) {
    const link = document.createElement('a');
    link.className = 'self';
    link.href = `#${row.id}`;
    link.textContent = '#';
    link.setAttribute('aria-label', 'Link to this row');
    row.cells[0].append(link);
  }

  // Sorting: a button in each head of a table that may be sorted.
  // A cell without an exact value beside it shows the exact value.
  const key = (row, column) => {
    const cell = row.cells[column];
    if (!cell) return '';
    const text = cell.textContent.trim();
    if (cell.dataset.v !== undefined) return parseFloat(cell.dataset.v);
    const number = parseFloat(text.replace(/,/g, '').replace('−', '-'));
    return Number.isNaN(number) || cell.className ? text : number;
  };
  const compare = (a, b) => {
    const numbers = typeof a === 'number' && typeof b === 'number';
    return numbers ? a - b : String(a).localeCompare(String(b), 'en');
  };
  for (const table of all('table.sort')) {
    const heads = all('thead th', table);
    heads.forEach((head, column) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener('click', () => {
        const numeric = !head.classList.contains('w');
        const before = head.getAttribute('aria-sort');
        const down = before ? before === 'ascending' : numeric;
        heads.forEach((other) => other.removeAttribute('aria-sort'));
        head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
        const body = table.tBodies[0];
        const rows = Array.from(body.rows).map((row) => [key(row, column), row]);
        const last = (value) => numeric && typeof value !== 'number';
        // What is not known stays at the end in both directions.
        rows.sort(([a], [b]) => last(a) - last(b) || (down ? compare(b, a) : compare(a, b)));
        body.append(...rows.map(([, row]) => row));
      });
    });
  }

  // The exact value of a figure and how it came about, where the pointer rests.
  const base = {};
  for (const unit of ['ns', 'µs', 'ms', 's', 'min', 'h', 'd', 'years']) base[unit] = 'ns';
  for (const unit of ['B', 'KiB', 'MiB', 'GiB', 'TiB']) base[unit] = 'bytes';
  const ways = {
    mea: 'measured: read from a clock or counter',
    smp: 'sampled: scaled up from a random part',
    app: 'apportioned: a measured sum, shared out by a stated rule',
    est: 'estimated: from a model',
  };
  document.addEventListener('mouseover', (event) => {
    const cell = event.target.closest && event.target.closest('td[data-v]');
    if (!cell || cell.title) return;
    const unit = cell.querySelector('i');
    const mark = cell.querySelector('abbr');
    const way = mark && mark.textContent.split(/\s+/);
    const parts = [`exactly ${cell.dataset.v} ${unit ? base[unit.textContent] || unit.textContent : ''}`.trim()];
    if (way) parts.push(`${way.slice(1).join(' ')} ${ways[way[0]] || ''}`.trim());
    cell.title = parts.join('; ');
  });

  // A link to a row opens what the row is folded into.
  const reveal = () => {
    const id = location.hash.slice(1);
    const target = id && document.getElementById(id);
    if (!target) return;
    let folded = false;
    for (let at = target; at; at = at.parentElement) {
      if (at.tagName === 'DETAILS' && !at.open) {
        at.open = true;
        folded = true;
      }
    }
    if (folded) target.scrollIntoView();
  };
  window.addEventListener('hashchange', reveal);
  reveal();

  // Print: nothing stays folded.
  let closed = [];
  window.addEventListener('beforeprint', () => {
    closed = all('details:not([open])');
    closed.forEach((details) => { details.open = true; });
  });
  window.addEventListener('afterprint', () => {
    closed.forEach((details) => { details.open = false; });
    closed = [];
  });

  // The section that is being read, in the list of contents.
  const links = new Map(all('nav a').map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      links.forEach((link) => link.removeAttribute('aria-current'));
      const link = links.get(entry.target.id);
      if (link) link.setAttribute('aria-current', 'true');
    }
  }, { rootMargin: '-10% 0px -80% 0px' });
  all('main > section').forEach((section) => seen.observe(section));

  // The document as a file.
  const data = document.getElementById('report');
  const save = document.getElementById('save');
  if (data && save) {
    save.hidden = false;
    all('.noscript').forEach((element) => { element.hidden = true; });
    const read = async () => {
      if (data.type === 'application/json') return data.textContent;
      const bytes = Uint8Array.from(atob(data.textContent), (c) => c.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
      return new Response(stream).text();
    };
    save.addEventListener('click', async () => {
      const text = JSON.stringify(JSON.parse(await read()), null, 2);
      const link = document.createElement('a');
      link.href = URL.createObjectURL(new Blob([text, '\n'], { type: 'application/json' }));
      link.download = 'report.json';
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
  }
})();
