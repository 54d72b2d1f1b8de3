// The page works without this script, by its forms. With it, the page is fetched again when
// something changes on the server, and the data-live parts that differ are replaced.
(() => {
  'use strict';
  const base = document.querySelector('main').dataset.base;
  const $ = (id) => document.getElementById(id);

  // Home Assistant's frontend around the page says which language its user reads and which
  // colours they see; where it is of another origin, or none, the page keeps its own.
  const root = document.documentElement;
  let around = null;
  try { around = parent !== window && parent.document.querySelector('home-assistant') ? parent.document.documentElement : null; } catch { /* another origin's frame */ }

  function language() {
    const lang = around?.ownerDocument.querySelector('home-assistant')?.hass?.language || around?.lang || '';
    if (!/^[A-Za-z0-9-]{2,20}$/.test(lang) || document.cookie.split('; ').includes('tunnelmedic_lang=' + lang)) return false;
    document.cookie = `tunnelmedic_lang=${lang}; path=${base}; max-age=31536000; samesite=strict`;
    if (lang.split('-')[0] === root.lang || !document.cookie.includes('tunnelmedic_lang=' + lang)) return false; // without cookies it would load for ever
    location.reload();
    return true;
  }
  if (language()) return;

  // A colour as its three parts; null for what is none, or lets others shine through.
  const sample = document.createElement('i');
  function colour(value) {
    sample.style.color = '';
    sample.style.color = value;
    if (!sample.style.color) return null;
    const [r, g, b, alpha] = getComputedStyle(sample).color.match(/^rgba?\(.*\)$/)?.[0].match(/[\d.]+/g)?.map(Number) ?? [];
    return b === undefined || alpha < 1 ? null : [r, g, b];
  }
  const light = (c) => c.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);

  // The theme's colours, as far as text on them can be read.
  function look() {
    document.body.append(sample);
    const theme = getComputedStyle(around);
    const of = (...names) => names.map((n) => colour(theme.getPropertyValue(n))).find(Boolean);
    const set = (name, c) => (c ? root.style.setProperty(name, `rgb(${c})`) : root.style.removeProperty(name));
    const page = of('--primary-background-color'), card = of('--ha-card-background', '--card-background-color');
    if (page && card && light(page) < 0.18 === light(card) < 0.18) {
      root.dataset.theme = light(card) < 0.18 ? 'dark' : 'light';
      set('--page', page);
      set('--card', card);
      for (const [ours, theirs] of [['--text', '--primary-text-color'], ['--quiet', '--secondary-text-color'], ['--link', '--primary-color']]) {
        const c = of(theirs);
        set(ours, c && contrast(c, card) >= 4.5 && contrast(c, page) >= 4.5 ? c : null);
      }
      set('--edge', of('--divider-color'));
    }
    for (const [ours, theirs] of [['--radius', '--ha-card-border-radius'], ['--below', '--safe-area-inset-bottom'], ['--left', '--safe-area-inset-left'], ['--right', '--safe-area-inset-right']]) {
      const size = theme.getPropertyValue(theirs).trim();
      if (/^\d{1,3}(\.\d+)?px$/.test(size)) root.style.setProperty(ours, size);
    }
    sample.remove();
  }
  if (around) {
    look();
    new MutationObserver(() => language() || look()).observe(around, { attributeFilter: ['style', 'class', 'lang'] });
  }

  // The panel around the page tells whether it is narrow, and then has a title of its own;
  // asked to, it opens another of its screens without a reload.
  let panel = false;
  const ask = (type, data) => parent.postMessage({ type: 'home-assistant/' + type, ...data }, location.origin);
  addEventListener('message', (e) => {
    if (e.source !== parent || e.origin !== location.origin || e.data?.type !== 'home-assistant/properties') return;
    panel = true;
    root.classList.toggle('narrow', !!e.data.narrow);
  });
  if (around) ask('subscribe-properties');
  document.addEventListener('click', (e) => {
    const link = e.target.closest?.('a[target=_top]');
    if (!panel || !link || e.button || e.ctrlKey || e.metaKey || e.shiftKey || e.altKey) return;
    e.preventDefault();
    ask('navigate', { path: link.getAttribute('href') });
  });

  let token = document.querySelector('meta[name=token]').content;

  function say(text, bad) {
    const m = $('message');
    if (!m) return;
    m.hidden = !text;
    m.classList.toggle('bad', !!bad);
    m.textContent = text;
  }

  // A list that only grows gets its new lines appended: a screen reader reads only those.
  function append(old, fresh) {
    const a = [...old.children], b = [...fresh.children];
    if (b.length < a.length || a.some((li, i) => li.textContent !== b[i].textContent)) {
      old.replaceChildren(...b);
      return;
    }
    old.append(...b.slice(a.length));
  }

  function attributes(old, fresh) {
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }

  function swap(old, fresh) {
    const log = old.querySelector('[data-log]'), next = fresh.querySelector('[data-log]');
    const open = [...old.querySelectorAll('details')].map((d) => d.open);
    const focus = old.contains(document.activeElement) ? [...old.querySelectorAll('a,button,summary,[tabindex]')].indexOf(document.activeElement) : -1;
    attributes(old, fresh);
    if (log && next) {
      append(log, next);
      next.replaceWith(log);
    }
    if (old.innerHTML === fresh.innerHTML) return;
    old.replaceChildren(...fresh.childNodes);
    old.querySelectorAll('details').forEach((d, i) => { d.open = !!open[i]; });
    if (focus >= 0) old.querySelectorAll('a,button,summary,[tabindex]')[focus]?.focus();
  }

  // The chart of the checks shows a value where it is pointed at, and by the arrow keys.
  function read(to) {
    const parts = [...document.querySelectorAll('.values rect')];
    const at = Math.min(Math.max(to(parts.findIndex((p) => p.matches('.on')), parts.length), 0), parts.length - 1);
    parts.forEach((p, i) => p.classList.toggle('on', i === at));
    $('reading').textContent = parts[at]?.textContent ?? '';
  }
  document.addEventListener('pointerover', (e) => { if (e.target.matches?.('.values rect')) read(() => [...e.target.parentNode.children].indexOf(e.target)); });
  document.addEventListener('focusin', (e) => { if (e.target.id === 'probes') read((at, n) => (at < 0 ? n - 1 : at)); });
  document.addEventListener('keydown', (e) => {
    const to = { ArrowLeft: (at) => at - 1, ArrowRight: (at) => at + 1, Home: () => 0, End: (at, n) => n - 1 }[e.key];
    if (to && e.target.id === 'probes') { e.preventDefault(); read(to); }
  });

  let busy = false, again = false, last = 0;
  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const res = await fetch(location.href, { headers: { Accept: 'text/html' }, cache: 'no-store' });
      if (!res.ok) throw new Error(res.status);
      const doc = new DOMParser().parseFromString(await res.text(), 'text/html');
      const script = (d) => d.querySelector('script[src]')?.getAttribute('src');
      if (!doc.querySelector('main')) throw new Error('not this page');
      if (script(doc) !== script(document)) { location.reload(); return; } // another version has been installed
      token = doc.querySelector('meta[name=token]').content;
      document.documentElement.dataset.state = doc.documentElement.dataset.state;
      for (const old of document.querySelectorAll('[data-live]')) {
        const fresh = doc.getElementById(old.id);
        if (fresh && fresh.outerHTML !== old.outerHTML) swap(old, fresh);
      }
      document.querySelectorAll('input[name=token]').forEach((i) => { i.value = token; });
      last = Date.now();
      $('offline').hidden = true;
    } catch {
      if ($('offline')) $('offline').hidden = false;
    }
    busy = false;
    if (again) { again = false; soon(); }
  }
  let timer = 0;
  function soon() {
    timer ||= setTimeout(() => { timer = 0; refresh(); }, Math.max(60, 500 - (Date.now() - last)));
  }

  async function post(form) {
    const data = Object.fromEntries(new FormData(form));
    delete data.token;
    if (data.minutes) data.minutes = Number(data.minutes);
    if (data.yes) data.yes = data.yes === 'true';
    const res = await fetch(form.action, {
      method: 'POST', body: JSON.stringify(data),
      headers: { 'Content-Type': 'application/json', 'X-Tunnelmedic-Token': token },
    });
    return res.json();
  }

  document.addEventListener('submit', async (e) => {
    const form = e.target;
    if (!form.matches('[data-act],[data-doctor]')) return;
    e.preventDefault();
    const button = form.querySelector('button');
    if (button.getAttribute('aria-busy') === 'true') return;
    button.setAttribute('aria-busy', 'true');
    try {
      if (form.matches('[data-doctor]')) {
        await doctor(form);
      } else {
        const got = await post(form);
        say(got.message, !got.ok);
        const ask = form.closest('details');
        if (ask && got.ok) { ask.open = false; ask.querySelector('summary').focus(); }
      }
    } catch {
      say($('offline').dataset.press, true);
    }
    button.removeAttribute('aria-busy');
    soon();
  });

  // The doctor's rows come one by one, a line of JSON each.
  async function doctor(form) {
    const place = $('doctor');
    const table = document.createElement('table');
    const heads = table.createTHead().insertRow();
    for (const head of [place.dataset.verdict, place.dataset.look, place.dataset.came]) {
      const th = document.createElement('th');
      th.textContent = head;
      heads.append(th);
    }
    table.createTBody();
    place.replaceChildren(table);
    place.hidden = false;
    const res = await fetch(form.action, { method: 'POST', body: '{}', headers: { 'Content-Type': 'application/json', 'X-Tunnelmedic-Token': token } });
    if (!res.ok) { place.hidden = true; say((await res.json()).message, true); return; }
    const reader = res.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ''; ;) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (rest + value).split('\n');
      rest = lines.pop();
      for (const line of lines.filter(Boolean)) row(table.tBodies[0], JSON.parse(line), place);
    }
  }
  function row(body, r, place) {
    if ('summary' in r) {
      const p = document.createElement('p');
      p.textContent = r.summary;
      place.append(p);
      return;
    }
    const tr = body.insertRow();
    tr.className = 'st-' + r.class;
    const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
    use.setAttribute('href', '#i-' + r.class);
    const icon = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    icon.setAttribute('class', 'icon');
    icon.setAttribute('role', 'img');
    icon.setAttribute('aria-label', r.verdict);
    icon.append(use);
    tr.insertCell().append(icon);
    tr.insertCell().textContent = r.component;
    const came = tr.insertCell();
    came.textContent = r.came;
    if (r.do) {
      const strong = document.createElement('strong');
      strong.textContent = r.do;
      came.append(document.createElement('br'), strong);
    }
  }

  if (!$('state')) return; // an incident's page does not change
  // Some versions of Home Assistant hold the stream back. The server says something every
  // ten seconds; where nothing comes, the page asks.
  let heard = 0;
  const stream = new EventSource(base + 'api/events');
  for (const name of ['status', 'beat']) {
    stream.addEventListener(name, () => { heard = Date.now(); if (name === 'status') soon(); });
  }
  stream.onerror = () => soon();
  setInterval(() => {
    if (document.hidden) return;
    if (Date.now() - heard > 15000 ? Date.now() - last > 4000 : Date.now() - last > 30000) refresh();
  }, 1000);
  document.addEventListener('visibilitychange', () => { if (!document.hidden) soon(); });
})();
