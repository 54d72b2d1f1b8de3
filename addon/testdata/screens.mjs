// Debian's Chromium on the page in every state, at the sizes people have, judged by axe-core.
// Run by addon/browser_test.go, which builds the world around it, once for each mode.
import { createRequire } from 'node:module';
import { mkdirSync, readFileSync } from 'node:fs';

const cfg = JSON.parse(process.argv[2]);
const require = createRequire(cfg.modules + '/');
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
mkdirSync(cfg.shots, { recursive: true });

let bad = 0;
const check = (ok, what) => { if (!ok) bad++; console.log((ok ? '    ok   ' : '    BAD  ') + what); };
const sleep = (ms) => new Promise((r) => setTimeout(r, ms));
const faults = (f) => fetch(cfg.lab + '/control/faults', { method: 'PUT', body: JSON.stringify(f) });
async function until(what, ok, ms = 60000) {
  for (const end = Date.now() + ms; ; await sleep(50)) {
    const s = await (await fetch(cfg.status)).json();
    if (ok(s)) return;
    if (Date.now() > end) throw new Error(`never ${what}, but ${s.state}, ${s.diagnosis.cause}`);
  }
}
const browser = await chromium.launch({ executablePath: cfg.chromium, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
const views = [
  { name: '320-light', viewport: { width: 320, height: 640 }, colorScheme: 'light' },
  { name: '320-large', viewport: { width: 320, height: 640 }, colorScheme: 'light', text: '200%' },
  { name: '390-dark', viewport: { width: 390, height: 844 }, colorScheme: 'dark' },
  { name: 'desk-light', viewport: { width: 1100, height: 900 }, colorScheme: 'light' },
  { name: 'desk-dark', viewport: { width: 1100, height: 900 }, colorScheme: 'dark' },
  { name: 'plain', viewport: { width: 390, height: 844 }, colorScheme: 'light', javaScriptEnabled: false },
];

async function look(name) {
  for (const { name: view, text, ...options } of views) {
    const context = await browser.newContext({ locale: 'en', reducedMotion: 'reduce', bypassCSP: !!text, ...options });
    const page = await context.newPage();
    await page.goto(cfg.page);
    if (text) await page.addStyleTag({ content: `html { font-size: ${text} !important }` });
    if (options.javaScriptEnabled !== false) {
      check(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name}, ${view}: nothing is wider than the screen`);
      await page.evaluate(axe);
      const found = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
      check(found.violations.length === 0, `${name}, ${view}: axe-core (${found.passes.length} rules hold)`);
      for (const v of found.violations) console.log(`         ${v.id}: ${v.help}; ${v.nodes.slice(0, 3).map((n) => n.target.join(' ') + ' ' + (n.any[0]?.message ?? '')).join(' | ')}`);
    }
    await page.screenshot({ path: `${cfg.shots}/${name}-${view}.png`, fullPage: true });
    await context.close();
  }
}
const press = async (path) => {
  const page = await (await browser.newContext()).newPage();
  await page.goto(cfg.page);
  await page.locator(`form[action$="${path}"] button`).first().click();
  await page.locator('#message:not([hidden])').waitFor();
  await page.context().close();
};

const lost = { upgrade: { quic: { share: 1 } } }, everywhere = { upgrade: { quic: { share: 1 }, http2: { share: 1 } } };
const runs = {
  heal: async () => {
    await look('healthy');
    await press('api/pause');
    await look('paused');
    await press('api/resume');
    await faults({ core_down: true });
    await until('checking', (s) => s.state === 'suspect' && s.diagnosis.cause === 'origin-down');
    await look('suspect');
    await faults({ unrouted: true });
    await until('what needs a person', (s) => s.state === 'suspect' && s.diagnosis.cause === 'hostname-unrouted');
    await look('needs-you');
    await faults({ access: true });
    await until('blind', (s) => s.state === 'blind');
    await look('blind');
    await faults({});
    await until('healthy', (s) => s.state === 'healthy');
    await faults(everywhere);
    await until('treating', (s) => s.state === 'treating');
    await look('treating');
    await until('holding', (s) => s.state === 'holding', 120000);
    await look('holding');
  },
  observe: async () => {
    await faults(lost);
    await until('observing', (s) => s.state === 'observing');
    await look('observing');
  },
  ask: async () => {
    await faults(lost);
    await until('a question', (s) => s.question);
    await look('asking');
  },
};
try {
  await runs[cfg.mode]();
} catch (e) {
  check(false, String(e.message ?? e).split('\n')[0]);
}
await browser.close();
process.exit(bad ? 1 : 0);
