// Takes in new tables as long as the page is looked at. They are escaped by the server; no script in them would run
// anyway, because the page's policy allows only this file.
(() => {
  const live = document.getElementById('live');
  const state = document.getElementById('state');
  const last = document.getElementById('last');
  const pause = document.getElementById('pause');
  const tokenForm = document.getElementById('token-form');
  // The server knows whether a token is needed: to ask without one would only be refused, and browsers call that an error.
  let locked = 'locked' in document.body.dataset;
  let token = '';
  let paused = false;
  let reading = null;

  // What a part of the page is called from one picture to the next: by its id, or by its kind, its words and what it
  // stands in. Of parts that are called the same, the first stays the first. Within the part of a service or origin only
  // rows and folds keep their ids when another becomes the dearest: tables and charts are numbered.
  const PARTS = 'details, table, thead th, summary, a, button, .box, .flame-box';
  const words = (element) => {
    switch (element.localName) {
      case 'details': return element.querySelector('summary .s-name')?.textContent;
      case 'table': return element.caption?.textContent;
      case 'th': return element.cellIndex;
      case 'a': return element.getAttribute('href');
      case 'div': return element.querySelector('caption, title')?.textContent;
      default: return '';
    }
  };
  const parts = (root) => {
    const called = new Map();
    const found = new Map();
    const lasts = (element) => element.id && (element.matches('tr, details') || !element.closest('details[id]'));
    const nameOf = (element) => {
      if (element === root || !element) return '';
      if (lasts(element)) return `#${element.id}`;
      if (!called.has(element)) {
        const path = `${nameOf(element.parentElement.closest(`[id], ${PARTS}`))}>${element.localName}:${words(element)}`;
        let name = path;
        for (let more = 2; found.has(name); more += 1) name = `${path}:${more}`;
        called.set(element, name);
      }
      return called.get(element);
    };
    for (const element of root.querySelectorAll(`[id], ${PARTS}`)) found.set(nameOf(element), element);
    return { nameOf, found };
  };

  // What a reader opened, how they sorted, where they scrolled to and what has the focus stays as it was.
  const show = (html) => {
    const parsed = new DOMParser().parseFromString(html, 'text/html');
    const before = parts(live);
    const kept = (selector) => Array.from(live.querySelectorAll(selector), (element) => [before.nameOf(element), element]);
    const open = kept('details').map(([name, details]) => [name, details.open]);
    const sorted = kept('thead th[aria-sort]').map(([name, head]) => [name, head.getAttribute('aria-sort')]);
    const scrolled = kept('.box, .flame-box').map(([name, box]) => [name, box.scrollLeft]).filter(([, left]) => left > 0);
    const active = document.activeElement;
    const focus = active !== live && live.contains(active) ? before.nameOf(active) : null;
    live.replaceChildren(...parsed.body.childNodes);
    globalThis.weighbridge.enhance(live);
    const { found } = parts(live);
    for (const [name, was] of open) if (found.has(name)) found.get(name).open = was;
    for (const [name, direction] of sorted) {
      const head = found.get(name);
      const button = head && head.querySelector('button');
      if (!button) continue;
      button.click();
      if (head.getAttribute('aria-sort') !== direction) button.click();
    }
    for (const [name, left] of scrolled) if (found.has(name)) found.get(name).scrollLeft = left;
    const again = focus && found.get(focus);
    if (again) {
      // A box that scrolls becomes a stop of the keyboard when its size has been seen, which is later.
      if (again.matches('.box, .flame-box')) again.tabIndex = 0;
      again.focus({ preventScroll: true });
    }
  };

  const say = (text) => { if (state.textContent !== text) state.textContent = text; };

  const askForToken = () => {
    locked = true;
    tokenForm.hidden = false;
    document.getElementById('reports').hidden = true;
    say(token ? 'This token is not known.' : 'A token is needed.');
  };

  const read = async () => {
    if (reading) reading.abort();
    if (locked && !token) {
      askForToken();
      return;
    }
    const mine = new AbortController();
    reading = mine;
    while (!mine.signal.aborted && !paused) {
      try {
        const headers = token ? { authorization: `Bearer ${token}` } : {};
        const response = await fetch(`/api/v1/live/stream?last=${encodeURIComponent(last.value)}`, {
          headers, cache: 'no-store', signal: mine.signal,
        });
        if (response.status === 401) {
          askForToken();
          return;
        }
        if (!response.ok) throw new Error((await response.text()).trim());
        tokenForm.hidden = true;
        const lines = response.body.pipeThrough(new TextDecoderStream()).getReader();
        let rest = '';
        for (;;) {
          const { value, done } = await lines.read();
          if (done) break;
          const parts = (rest + value).split('\n');
          rest = parts.pop();
          const whole = parts.filter((line) => line).pop();
          if (!whole || paused || mine.signal.aborted) continue;
          const frame = JSON.parse(whole);
          if (frame.html === undefined) {
            say(`These figures could not be made anew: ${frame.error}`);
            continue;
          }
          show(frame.html);
          live.dataset.frames = String(Number(live.dataset.frames || 0) + 1);
          say('');
        }
      } catch (error) {
        if (mine.signal.aborted) return;
        say(`No answer from the collector: ${error.message}`);
      }
      await new Promise((resolve) => { setTimeout(resolve, 2000); });
    }
  };

  pause.hidden = false;
  pause.addEventListener('click', () => {
    paused = !paused;
    pause.setAttribute('aria-pressed', String(paused));
    say(paused ? 'Paused: the figures stand still.' : '');
    if (paused && reading) reading.abort();
    if (!paused) read();
  });
  last.addEventListener('change', read);
  document.getElementById('controls').addEventListener('submit', (event) => event.preventDefault());
  tokenForm.addEventListener('submit', (event) => {
    event.preventDefault();
    token = document.getElementById('token').value;
    read();
  });
  read();
})();
