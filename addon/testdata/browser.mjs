// Debian's Chromium on the page: every button, the live steps, dark and light, phone and desk, keyboard alone, no script.
// Run by addon/browser_test.go, which builds the world around it.
import { createRequire } from 'node:module';
import { mkdirSync, readFileSync } from 'node:fs';

const cfg = JSON.parse(process.argv[2]);
const require = createRequire(cfg.modules + '/');
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
mkdirSync(cfg.shots, { recursive: true });

// The page's own words, by key: what it says is tested elsewhere.
const words = JSON.parse(readFileSync(cfg.words, 'utf8'));
const say = (key, values = {}) => {
  if (typeof words[key] !== 'string') throw new Error('no words for ' + key);
  return words[key].replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
};
const begins = (key) => say(key).split('{')[0]; // up to its first value

let bad = 0;
const good = (what) => console.log('    ok   ' + what);
const wrong = (what) => { bad++; console.log('    BAD  ' + what); };
const check = (ok, what) => (ok ? good(what) : wrong(what));
const sleep = (ms) => new Promise((r) => setTimeout(r, ms));
const status = () => fetch(cfg.status).then((r) => r.json());
const faults = (f) => fetch(cfg.lab + '/control/faults', { method: 'PUT', body: JSON.stringify(f) }).then((r) => { if (!r.ok) throw new Error('the lab refuses ' + JSON.stringify(f)); });
const world = () => fetch(cfg.lab + '/control/state').then((r) => r.json());
async function until(what, ok, ms = 30000) {
  for (const end = Date.now() + ms; ; await sleep(40)) {
    const got = await ok();
    if (got) return got;
    if (Date.now() > end) throw new Error('never: ' + what);
  }
}
const state = (want) => until('state ' + want, async () => { const s = await status(); return s.state === want && s; });

const browser = await chromium.launch({ executablePath: cfg.chromium, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
const phone = { width: 390, height: 844 }, desk = { width: 1100, height: 900 };
async function open(options = {}, path = '') {
  const context = await browser.newContext({ viewport: phone, ...options });
  const page = await context.newPage();
  page.on('pageerror', (e) => wrong('script error: ' + e.message));
  page.on('console', (m) => { if (m.type() === 'error' && !/409|ERR_INTERNET_DISCONNECTED/.test(m.text())) wrong('console: ' + m.text()); });
  await page.goto(cfg.page + path);
  return page;
}
const headline = (page) => page.locator('#headline').textContent();
const shot = (page, name) => page.screenshot({ path: `${cfg.shots}/${name}.png`, fullPage: true });
async function accessible(page, what) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  check(found.violations.length === 0, `axe-core: ${what} (${found.passes.length} rules hold)`);
  for (const v of found.violations) console.log(`         ${v.id}: ${v.help}; ${v.nodes.slice(0, 3).map((n) => n.target.join(' ') + ' ' + (n.any[0]?.message ?? '')).join(' | ')}`);
}
// Chromium's own symptom, as the person away from home meets it.
async function symptom(visitor) { // ready before the fault, which may be gone two seconds later
  const page = visitor ?? await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
  const seen = await page.evaluate((url) => new Promise((done) => {
    const seen = { opened: false, code: 0, first: '' };
    const ws = new WebSocket(url);
    ws.onopen = () => { seen.opened = true; };
    ws.onmessage = (m) => { seen.first ||= JSON.parse(m.data).type; ws.close(1000); };
    ws.onclose = (e) => { seen.code = e.code; done(seen); };
  }), cfg.websocket);
  await page.context().close();
  return seen;
}

try {
  console.log('  healthy');
  const page = await open();
  check(await headline(page) === say('page.face.healthy'), 'one sentence says it');
  check(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing is wider than a phone');
  check(await page.evaluate(() => [...document.querySelectorAll('button,summary.button,.tabs a,.past a')].every((e) => !e.offsetHeight || e.offsetHeight >= 40)), 'everything to touch is at least 40 px high');
  const light = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  await accessible(page, 'healthy, light, phone');
  await shot(page, 'healthy-phone-light');
  const dark = await open({ colorScheme: 'dark', viewport: desk });
  check(await dark.evaluate(() => getComputedStyle(document.documentElement).backgroundColor) !== light, 'dark mode is dark');
  await accessible(dark, 'healthy, dark, desk');
  await shot(dark, 'healthy-desk-dark');
  const figures = { first: Infinity };
  for (let i = 0; i < 5; i++) { // the machine may be busy: what counts is what the page can do
    const p = await open();
    const got = await p.evaluate(() => {
      const nav = performance.getEntriesByType('navigation')[0];
      return { html: nav.decodedBodySize, rest: performance.getEntriesByType('resource').filter((r) => /assets/.test(r.name)).reduce((n, r) => n + r.decodedBodySize, 0), first: nav.responseStart - nav.requestStart };
    });
    Object.assign(figures, got, { first: Math.min(figures.first, got.first) });
    await p.context().close();
  }
  console.log(`         page ${figures.html} bytes, style, script and icon ${figures.rest} bytes; first byte after ${figures.first.toFixed(1)} ms in the browser`);
  check(figures.html + figures.rest < 60 * 1024, 'the page is under 60 KB with everything');

  console.log('  the buttons');
  await page.evaluate(() => { window.mark = 'the page was not loaded again'; });
  const before = (await status()).last_probe.at;
  await page.getByRole('button', { name: say('page.check-now') }).dblclick();
  await page.getByText(say('page.done.probe')).waitFor();
  await until('a probe', async () => (await status()).last_probe.at !== before, 2500);
  good(say('page.check-now'));
  await page.getByRole('button', { name: say('page.doctor') }).click();
  await page.locator('#doctor tbody tr').nth(5).waitFor({ timeout: 20000 });
  await page.locator('#doctor p').waitFor({ timeout: 20000 });
  check(await page.locator('#doctor tbody tr').count() >= 8, `the doctor's table: ${await page.locator('#doctor tbody tr').count()} rows, "${await page.locator('#doctor p').textContent()}"`);
  await accessible(page, 'with the doctor\'s table');
  await shot(page, 'doctor-phone-light');
  await page.getByRole('button', { name: say('page.pause') }).click();
  await page.getByRole('button', { name: say('page.resume') }).waitFor();
  check((await headline(page)).startsWith(begins('page.face.paused')), 'Pause: ' + await headline(page));
  await accessible(page, 'paused');
  await shot(page, 'paused-phone-light');
  await page.getByRole('button', { name: say('page.resume') }).click();
  await page.getByRole('button', { name: say('page.pause') }).waitFor();
  await state('healthy');
  good('Resume');
  await page.getByRole('link', { name: say('page.timeline-week') }).click();
  await page.locator('.tabs a[aria-current]', { hasText: say('page.timeline-week') }).waitFor();
  await shot(page, 'week-phone-light');
  await page.getByRole('link', { name: say('page.timeline-day') }).click();

  console.log('  the upgrade is lost');
  const steps = await open({ viewport: desk });
  const calm = await open({ reducedMotion: 'reduce', colorScheme: 'dark' });
  await steps.evaluate(() => { window.mark = true; });
  const visitor = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
  await faults({ upgrade: { quic: { share: 1 } } });
  let seen = await symptom(visitor);
  check(seen.code === 1006 && !seen.opened, `Chromium's WebSocket: code ${seen.code}, open ${seen.opened}`);
  await steps.locator('#steps li[data-step=trial]').waitFor({ timeout: 15000 });
  check(await steps.evaluate(() => window.mark === true), 'the step arrives live, without the page being loaded again');
  await calm.locator('html[data-state=treating]').waitFor();
  check(await calm.evaluate(() => getComputedStyle(document.querySelector('.hero .icon')).animationName) === 'none', 'reduced motion is respected');
  await accessible(calm, 'treating, dark, phone');
  await shot(calm, 'treating-phone-dark');
  await shot(steps, 'treating-desk-light');
  await state('healthy');
  seen = await symptom();
  check(seen.opened && seen.first === 'auth_required', `after the cure: open ${seen.opened}, ${seen.first}`);
  await steps.locator('#past li').first().waitFor();
  await until('the headline', async () => await headline(steps) === say('page.face.healthy'));
  await steps.locator('#past a').first().click();
  await steps.getByRole('heading', { name: say('page.outcome.cured', { protocol: 'http2' }) }).waitFor();
  await accessible(steps, 'a past incident');
  await shot(steps, 'incident-desk-light');
  const text = await steps.evaluate(() => fetch(document.querySelector('a.button').href).then((r) => r.text()));
  check(text.startsWith('# '), 'the incident as text: ' + text.split('\n')[0]);

  console.log('  keyboard alone, with another protocol to try');
  await faults({});
  const keys = await open();
  const focused = () => keys.evaluate(() => { const e = document.activeElement; return { text: (e.textContent || '').trim().slice(0, 40), tag: e.tagName, outline: getComputedStyle(e).outlineStyle !== 'none' && parseFloat(getComputedStyle(e).outlineWidth) >= 2 }; });
  const walk = async (wanted) => { for (let i = 0; i < 40; i++) { await keys.keyboard.press('Tab'); const f = await focused(); if (!f.outline && f.tag !== 'BODY') wrong('the focus cannot be seen on ' + f.text); if (f.text.startsWith(wanted)) return; } throw new Error('Tab never comes to ' + wanted); };
  await walk(say('page.try'));
  await keys.keyboard.press('Enter');
  await walk(say('page.try-button', { protocol: 'quic' }));
  check(await keys.getByText(begins('page.try-text')).isVisible(), 'what it costs is said first');
  await accessible(keys, 'asking before a trial');
  await shot(keys, 'try-phone-light');
  const restarts = (await world()).restarts;
  await keys.keyboard.press('Enter');
  await keys.getByText(say('page.done.trying', { protocol: 'quic' })).waitFor();
  await keys.locator('html[data-state=treating]').waitFor();
  check(await headline(keys) === say('page.face.trying', { protocol: 'quic' }), 'the page says what is tried');
  await state('healthy');
  check((await status()).protocol.own === 'quic' && (await world()).restarts === restarts + 1, 'proven, kept, one restart');

  console.log('  two people at once');
  const two = [await open(), await open({ colorScheme: 'dark' })];
  for (const p of two) await p.locator('#try > summary').click();
  const was = (await world()).restarts;
  await Promise.all(two.map((p) => p.evaluate(() => document.querySelector('#tries input[value=auto]').form.requestSubmit())));
  await until('two answers', async () => (await Promise.all(two.map((p) => p.locator('#message').textContent()))).every(Boolean));
  const said = await Promise.all(two.map((p) => p.locator('#message').textContent()));
  check(said.filter((s) => s.startsWith(say('page.done.trying', { protocol: 'auto' }))).length === 1, 'one is told that it begins, the other why not: ' + said.join(' / '));
  await state('healthy');
  check((await world()).restarts === was + 1, 'one restart');

  console.log('  without script');
  const plain = await open({ javaScriptEnabled: false });
  await plain.getByRole('button', { name: say('page.check-now') }).click();
  await plain.getByText(say('page.done.probe')).waitFor();
  await plain.getByRole('button', { name: say('page.pause') }).click();
  await plain.getByRole('button', { name: say('page.resume') }).click();
  await plain.getByText(say('page.done.resume')).waitFor();
  await plain.getByRole('button', { name: say('page.doctor') }).click();
  await plain.locator('#doctor tbody tr').first().waitFor({ timeout: 30000 });
  check(await plain.locator('#doctor tbody tr').count() >= 8, 'probe, pause, resume and doctor work by forms');
  await plain.goto(cfg.page);
  await plain.locator('#try > summary').click();
  await plain.getByRole('button', { name: say('page.try-button', { protocol: 'http2' }) }).click();
  await plain.getByText(say('page.done.try')).waitFor();
  await state('healthy');
  good('so does a trial');

  console.log('  in the frame of Home Assistant');
  const home = await (await browser.newContext({ viewport: phone, colorScheme: 'light' })).newPage();
  home.on('console', (m) => { if (m.type() === 'error') wrong('console: ' + m.text()); });
  await home.goto(cfg.frame);
  const inside = home.frames()[1];
  await inside.waitForSelector('html.narrow');
  await inside.waitForSelector('html[lang=de]');
  const seenIn = () => inside.evaluate(() => {
    const of = (e, p) => getComputedStyle(document.querySelector(e))[p];
    return { page: of('html', 'backgroundColor'), card: of('.card', 'backgroundColor'), text: of('html', 'color'), quiet: of('.quiet', 'color'), radius: of('.card', 'borderTopLeftRadius'), below: of('main', 'paddingBottom'), theme: document.documentElement.dataset.theme, title: document.querySelector('.brand h1').offsetWidth };
  });
  let drawn = await seenIn();
  check(drawn.theme === 'dark' && drawn.page === 'rgb(16, 34, 46)' && drawn.card === 'rgb(27, 52, 67)' && drawn.text === 'rgb(255, 255, 255)', `its colours: ${drawn.page}, ${drawn.card}, dark although the browser is light`);
  check(drawn.quiet !== 'rgb(43, 68, 83)', 'a colour of the theme that could not be read is left out: ' + drawn.quiet);
  check(drawn.radius === '4px' && drawn.below === '66px', 'its corners, and room for the bar of a phone');
  await home.evaluate(() => { for (const [k, v] of [['--primary-background-color', '#f4f4f4'], ['--card-background-color', '#fff'], ['--primary-text-color', '#101010']]) document.documentElement.style.setProperty(k, v); });
  await inside.waitForSelector('html[data-theme=light]');
  drawn = await seenIn();
  check(drawn.card === 'rgb(255, 255, 255)' && drawn.text === 'rgb(16, 16, 16)', 'it follows when the theme changes');
  await inside.evaluate(() => { const a = document.createElement('a'); a.href = '/config/app/x'; a.target = '_top'; document.querySelector('main').append(a); a.click(); });
  await until('the frame is asked to go there', () => home.evaluate(() => heard.some((m) => m.type === 'home-assistant/navigate' && m.path === '/config/app/x')));
  good('a link to another screen is the panel\'s to follow');
  await home.context().close();

  console.log('  the connection to the page is lost');
  const lost = await open();
  await lost.context().setOffline(true);
  await lost.getByText(say('page.offline')).waitFor({ timeout: 20000 });
  await lost.context().setOffline(false);
  await lost.getByText(say('page.offline')).waitFor({ state: 'hidden', timeout: 20000 });
  good('it says so, and comes back by itself');

  console.log('  what cannot be mended, and what cannot be seen');
  const both = [await open(), await open({ colorScheme: 'dark', viewport: desk })];
  for (const [name, fault, want] of [['holding', { upgrade: { quic: { share: 1 }, http2: { share: 1 } } }, 'holding'], ['blind', { access: true }, 'blind'], ['no-internet', { internet_down: true }, 'suspect']]) {
    await faults(fault);
    await state(want);
    for (const [i, p] of both.entries()) {
      await p.locator(`html[data-state=${want}]`).waitFor();
      await until('advice', async () => (await p.locator('#advice li').count()) > 0);
      await accessible(p, `${name}, ${i ? 'dark, desk' : 'light, phone'}`);
      await shot(p, name + (i ? '-desk-dark' : '-phone-light'));
    }
    await faults({});
    await state('healthy');
  }
} catch (e) {
  wrong(String(e.message ?? e).split('\n')[0]);
}
await browser.close();
console.log(bad ? `  ${bad} findings` : '  everything as it should be');
process.exit(bad ? 1 : 0);
