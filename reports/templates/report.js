'use strict';
(() => {
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));

  // Heads that come in many tables say what they mean in the first; copy it to the others.
  const help = new Map();
  const nameOf = (head) => `${head.closest('table').caption.textContent}|${head.cellIndex}`;
  const explain = (root) => all('thead th', root).forEach((head) => {
    head.scope = 'col';
    if (head.title) help.set(nameOf(head), head.title);
    else if (help.has(nameOf(head))) head.title = help.get(nameOf(head));
  });

  // A table that is wider than its box can be scrolled by the keyboard; others are no stop on the way.
  const fit = (box) => {
    if (box.scrollWidth > box.clientWidth) {
      box.tabIndex = 0;
      box.setAttribute('role', 'group');
      const name = box.querySelector('caption, title');
      box.setAttribute('aria-label', `${name.textContent}, scrolls sideways`);
    } else {
      ['tabindex', 'role', 'aria-label'].forEach((name) => box.removeAttribute(name));
    }
  };
  const boxes = new ResizeObserver((entries) => entries.forEach((entry) => fit(entry.target)));

  // FNV-1a: a few letters that are the same for the same text.
  const hash = (text) => {
    let sum = 0x811c9dc5;
    for (const byte of new TextEncoder().encode(text)) sum = Math.imul(sum ^ byte, 0x01000193) >>> 0;
    return sum.toString(36);
  };

  // Every row can be linked to. One that has no identifier gets it from where its table stands and from the words that
  // name it, which are the same in the next report: in the page these would be a twentieth of it. Where these words have
  // other letters than a to z, are cut, or name a second row too, a hash of them and of the words beside them follows, so
  // that a link that was mailed leads to its own row of the next report or to none.
  const named = new WeakSet();
  const nameRows = (root) => all('table', root).forEach((table) => {
    const fold = table.closest('details[id], article[id]');
    const base = fold ? `${fold.id} ${table.caption.textContent.slice(0, 24)}` : table.id || table.caption.textContent;
    let [group, left] = ['', 0];
    const told = [];
    for (const row of table.tBodies[0].rows) {
      const [head, second] = row.cells;
      if (head.rowSpan > 1) [group, left] = [head.textContent, head.rowSpan];
      else if (left <= 0) group = '';
      left -= 1;
      if (row.id) continue;
      const words = [group, (head.rowSpan > 1 ? second : head).textContent];
      const whole = `${base} ${words.join(' ')}`.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '');
      const name = whole.slice(0, 90).replace(/-$/, '');
      const beside = all('td.w', row).slice(0, 2).map((cell) => cell.textContent);
      told.push({ row, name, plain: name === whole && !/[^\x00-\x7f]/.test(words.join('')), text: [...words, ...beside].join('\n') });
    }
    const counts = new Map();
    told.forEach(({ name }) => counts.set(name, (counts.get(name) || 0) + 1));
    told.forEach(({ row, name, plain, text }) => {
      const own = plain && counts.get(name) === 1 && !document.getElementById(name) ? name : `${name}-${hash(text)}`;
      let id = own;
      for (let more = 2; document.getElementById(id); more += 1) id = `${own}-${more}`;
      row.id = id;
      named.add(row);
    });
  });

  // A link to the row itself, beside its name.
  const linkRows = (root) => all('tr[id]', root).forEach((row) => {
    const link = document.createElement('a');
    link.className = 'self';
    link.href = `#${row.id}`;
    link.textContent = '#';
    link.setAttribute('aria-label', 'Link to this row');
    row.cells[0].append(link);
  });

  // Sorting: a button in each head of a table that may be sorted.
  // A cell without an exact value beside it shows the exact value. The link to the row is no word of it.
  const key = (row, column, numeric) => {
    const cell = row.cells[column];
    if (!cell) return '';
    const text = (cell.lastChild?.className === 'self' ? cell.textContent.slice(0, -1) : cell.textContent).trim();
    if (!numeric) return text;
    if (cell.dataset.v !== undefined) return parseFloat(cell.dataset.v);
    const number = parseFloat(text.replace(/,/g, '').replace('−', '-'));
    return Number.isNaN(number) || cell.className ? text : number;
  };
  const compare = (a, b) => {
    const numbers = typeof a === 'number' && typeof b === 'number';
    return numbers ? a - b : String(a).localeCompare(String(b), 'en');
  };
  const sortable = (root) => all('table.sort', root).forEach((table) => {
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
        const rows = Array.from(body.rows).map((row) => [key(row, column, numeric), row]);
        const last = (value) => numeric && typeof value !== 'number';
        // What is not known stays at the end in both directions.
        rows.sort(([a], [b]) => last(a) - last(b) || (down ? compare(b, a) : compare(a, b)));
        body.append(...rows.map(([, row]) => row));
      });
    });
  });

  // What tables can do; again for those that the live page brings later.
  const enhance = (root) => {
    explain(root);
    all('.box, .flame-box', root).forEach((box) => boxes.observe(box));
    nameRows(root);
    linkRows(root);
    sortable(root);
  };
  enhance(document);
  globalThis.weighbridge = { enhance };

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
    // The browser looked for it before it had its name: it looks again.
    if (named.has(target) && !target.matches(':target')) location.replace(location.hash);
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

  // The document in this file.
  const data = document.getElementById('report');
  const read = async () => {
    if (data.type === 'application/json') return data.textContent;
    const bytes = Uint8Array.from(atob(data.textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
    return new Response(stream).text();
  };

  // What if: linear terms of the document times the sliders; responses from its table of loads. The document is
  // read when a slider is first moved.
  const sliders = document.getElementById('sliders');
  if (data && sliders) {
    sliders.hidden = false;
    all('.noscript-what-if').forEach((element) => { element.hidden = true; });
    const digits = (value) => {
      const rounded = Number(value.toPrecision(3));
      return Math.abs(rounded) >= 1000 ? rounded.toLocaleString('en') : String(rounded).replace('-', '−');
    };
    const scaled = (value, steps) => {
      let at = 0;
      while (at + 1 < steps.length && Math.abs(value) >= steps[at + 1][0]) at += 1;
      return [digits(value / steps[at][0]), steps[at][1]];
    };
    const show = {
      cores: (value) => [digits(value), ''],
      count: (value) => [digits(value), ''],
      share: (value) => [digits(value * 100), '%'],
      bytes: (value) => scaled(value, [[1, 'B'], [1024, 'KiB'], [1024 ** 2, 'MiB'], [1024 ** 3, 'GiB'], [1024 ** 4, 'TiB']]),
      ns: (value) => scaled(value, [[1, 'ns'], [1e3, 'µs'], [1e6, 'ms'], [1e9, 's'], [6e10, 'min'], [3.6e12, 'h']]),
      money: (value) => [digits(value), sliders.dataset.currency],
      months: (value) => [digits(value), 'months'],
    };
    const put = (cell, value, kind, otherwise) => {
      if (!cell) return;
      cell.removeAttribute('title');
      if (value === null || !Number.isFinite(value)) {
        delete cell.dataset.v;
        cell.textContent = otherwise;
        cell.classList.add('k');
        return;
      }
      const [number, unit] = show[kind](value);
      const mark = document.createElement('i');
      mark.textContent = unit;
      cell.classList.remove('k');
      cell.dataset.v = String(value);
      cell.replaceChildren(number, ...(unit ? ['\u00a0', mark] : []));
    };
    const known = (figure) => (figure && figure.value !== undefined ? figure.value : null);
    const rowsOf = (id) => all(`#${id} tbody tr`);
    // Straight lines between the points; nothing beyond a point that is not known.
    const responseAt = (points, load) => {
      for (let at = 0; at < points.length; at += 1) {
        if (points[at].load_factor === load) return known(points[at].response);
        if (points[at].load_factor > load && at > 0) {
          const [a, b] = [known(points[at - 1].response), known(points[at].response)];
          if (a === null || b === null) return null;
          const [from, to] = [points[at - 1].load_factor, points[at].load_factor];
          return a + (b - a) * (load - from) / (to - from);
        }
      }
      return null;
    };
    // Money of the origins, a column that prices fill: its rows in the order of the document, before anyone sorts them,
    // and what stands there without a price of this form.
    const origins = document.getElementById('t-origins');
    const priceAt = origins ? Array.from(origins.tHead.rows[0].cells).findIndex((head) => head.textContent === 'Money/h') : -1;
    const moneyCells = priceAt < 0 ? [] : rowsOf('t-origins').map((row) => row.cells[priceAt])
      .map((cell) => ({ cell, nodes: Array.from(cell.childNodes), exact: cell.dataset.v, unknown: cell.className }));
    const sheet = Number(document.getElementById('s-core').defaultValue) || 0;
    const priceOrigins = (core) => moneyCells.forEach(({ cell, nodes, exact, unknown }, index) => {
      if (core !== sheet && core > 0) {
        put(cell, known(figures.origins[index].cores) === null ? null : core * known(figures.origins[index].cores), 'money', 'not known');
        return;
      }
      cell.removeAttribute('title');
      cell.className = core === sheet ? unknown : 'k';
      if (core === sheet && exact !== undefined) cell.dataset.v = exact;
      else delete cell.dataset.v;
      cell.replaceChildren(...(core === sheet ? nodes : ['no price']));
    });
    let figures = null;
    const recompute = async () => {
      const load = Number(document.getElementById('s-load').value);
      const target = Number(document.getElementById('s-target').value) / 100;
      const core = Number(document.getElementById('s-core').value) || 0;
      const gib = Number(document.getElementById('s-gib').value) || 0;
      const growth = Number(document.getElementById('s-growth').value) / 100;
      document.querySelector('output[for=s-load]').textContent = `${digits(load)}×`;
      document.querySelector('output[for=s-target]').textContent = `${digits(target * 100)}\u00a0%`;
      document.querySelector('output[for=s-growth]').textContent = growth ? `${digits(growth * 100)}\u00a0%` : 'none';
      if (!figures) return;
      const priced = core > 0 || gib > 0;
      const total = { cores: [], replicas: [], memory: [], money: [] };
      const rows = rowsOf('t-what-if');
      const sum = rows.pop();
      figures.capacity.services.forEach((service, index) => {
        const cell = (name) => rows[index] && rows[index].querySelector(`.w-${name}`);
        const [variable, base] = [known(service.cores_variable), known(service.cores_base)];
        const [limit, running] = [known(service.cores_limit), known(service.instances)];
        const seen = service.points.find((point) => known(point.replicas) > 0 && known(point.memory) !== null);
        const each = seen ? known(seen.memory) / known(seen.replicas) : null;
        // What a process takes by itself, and today's processes at this load.
        const own = base !== null && running ? base / running : null;
        const today = variable === null || base === null ? null : base + load * variable;
        const used = today !== null && limit && running ? today / (limit * running) : null;
        const least = figures.capacity.least_processes || 1;
        // What passes one at a time: from this load on no number of processes helps.
        const most = service.serial ? known(service.serial.full_load) : null;
        const blocked = most !== null && load >= most;
        const room = own !== null && limit ? limit * target - own : 0;
        const replicas = variable !== null && room > 0 && !blocked ? Math.max(Math.ceil((load * variable) / room - 1e-9), least) : null;
        // Those beyond today's bring what each takes by itself; the load seen is as it was seen.
        const added = replicas === null || load === 1 ? 0 : Math.max(replicas - Math.ceil(running - 1e-9), 0);
        const cores = today === null ? null : today + (own || 0) * added;
        const memory = replicas !== null && each !== null ? replicas * each : null;
        const money = priced && memory !== null ? replicas * limit * core + (memory / 1024 ** 3) * gib : null;
        const ends = [variable > 0 && limit && running ? (limit * running - base) / variable : null, most];
        const full = Math.min(...ends.map((end) => (end === null ? Infinity : end)));
        const months = growth && full < Infinity ? Math.max(Math.log(full / load) / Math.log(1 + growth), 0) : null;
        put(cell('cores'), cores, 'cores', 'not known');
        put(cell('used'), used, 'share', 'not known');
        if (cell('used')) cell('used').classList.toggle('bad', used >= 1);
        put(cell('replicas'), replicas, 'count', blocked ? 'one at a time' : 'not known');
        put(cell('memory'), memory, 'bytes', 'not known');
        put(cell('money'), money, 'money', priced ? 'not known' : 'no price');
        put(cell('months'), months, 'months', growth ? 'not known' : 'no growth');
        for (const [name, value] of Object.entries({ cores, replicas, memory, money })) total[name].push(value);
      });
      // What is not known is not zero: a sum is without it, and says so.
      for (const [name, kind] of [['cores', 'cores'], ['replicas', 'count'], ['memory', 'bytes'], ['money', 'money']]) {
        const some = total[name].filter((value) => value !== null);
        const without = total[name].length - some.length;
        const cell = sum.querySelector(`.w-${name}`);
        const unpriced = name === 'money' && !priced;
        put(cell, some.length && !unpriced ? some.reduce((a, b) => a + b) : null, kind, unpriced ? 'no price' : 'not known');
        if (!without || !some.length || unpriced) continue;
        const note = document.createElement('small');
        note.textContent = `without ${without} service${without > 1 ? 's' : ''}`;
        cell.append(note);
      }
      priceOrigins(core);
      const responses = figures.capacity.latency || [];
      rowsOf('t-what-if-origins').forEach((row, index) => {
        const response = responseAt(responses[index].points, load);
        put(row.querySelector('.w-response'), response, 'ns', 'saturated, or not known');
      });
      const changes = figures.recommendations
        .filter((r) => ['do', 'try'].includes(r.verdict) && r.gain.unit === 'cores' && known(r.gain) !== null);
      rowsOf('t-what-if-changes').forEach((row, index) => {
        const gain = known(changes[index].gain);
        put(row.querySelector('.w-gain'), gain, 'cores', 'not known');
        put(row.querySelector('.w-money'), priced ? gain * core : null, 'money', 'no price');
      });
    };
    sliders.addEventListener('submit', (event) => event.preventDefault());
    const moved = async () => {
      if (!figures) figures = JSON.parse(await read());
      await recompute();
    };
    sliders.addEventListener('input', moved);
    sliders.addEventListener('reset', () => setTimeout(moved));
    recompute();
    // A document of some hundred services takes a while to unpack: that waits for the first slider.
    if (data.textContent.length < 500000) moved();
  }

  // The document as a file.
  const save = document.getElementById('save');
  if (data && save) {
    save.hidden = false;
    all('.noscript').forEach((element) => { element.hidden = true; });
    save.addEventListener('click', async () => {
      // As it stands in the page: a script that reads the numbers rounds those above 2^53.
      const text = await read();
      const link = document.createElement('a');
      link.href = URL.createObjectURL(new Blob([text, '\n'], { type: 'application/json' }));
      link.download = 'report.json';
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
  }
})();
