// Takes in new tables as long as the page is looked at. They are escaped by the server; no script in them would run
// anyway, because the page's policy allows only this file.
(() => {
  const live = document.getElementById('live');
  const state = document.getElementById('state');
  const last = document.getElementById('last');
  const pause = document.getElementById('pause');
  const tokenForm = document.getElementById('token-form');
  let token = '';
  let paused = false;
  let reading = null;

  // What a reader opened and how they sorted stays as it was.
  const show = (html) => {
    const parsed = new DOMParser().parseFromString(html, 'text/html');
    const open = new Set(Array.from(live.querySelectorAll('details'), (d) => `${d.id}|${d.open}`));
    for (const details of parsed.querySelectorAll('details[id]')) {
      if (open.has(`${details.id}|true`)) details.open = true;
      if (open.has(`${details.id}|false`)) details.open = false;
    }
    const sorted = Array.from(live.querySelectorAll('table[id] th[aria-sort]'), (head) => [
      head.closest('table').id, head.cellIndex, head.getAttribute('aria-sort'),
    ]);
    const focus = document.activeElement && live.contains(document.activeElement) ? document.activeElement.id : '';
    live.replaceChildren(...parsed.body.childNodes);
    globalThis.weighbridge.enhance(live);
    for (const [id, column, direction] of sorted) {
      const head = document.querySelector(`#${CSS.escape(id)} thead tr`)?.cells[column];
      const button = head && head.querySelector('button');
      if (!button) continue;
      button.click();
      if (head.getAttribute('aria-sort') !== direction) button.click();
    }
    if (focus) document.getElementById(focus)?.focus();
  };

  const say = (text) => { if (state.textContent !== text) state.textContent = text; };

  const read = async () => {
    const mine = new AbortController();
    if (reading) reading.abort();
    reading = mine;
    while (!mine.signal.aborted && !paused) {
      try {
        const headers = token ? { authorization: `Bearer ${token}` } : {};
        const response = await fetch(`/api/v1/live/stream?last=${encodeURIComponent(last.value)}`, {
          headers, cache: 'no-store', signal: mine.signal,
        });
        if (response.status === 401) {
          tokenForm.hidden = false;
          document.getElementById('reports').hidden = true;
          say(token ? 'This token is not known.' : 'A token is needed.');
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
          if (whole && !paused && !mine.signal.aborted) {
            show(JSON.parse(whole).html);
            live.dataset.frames = String(Number(live.dataset.frames || 0) + 1);
            say('');
          }
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
