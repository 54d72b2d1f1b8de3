// The pictures in README.md; .ci/screenshots runs it against `tunnelmedic lab --demo`.
import { createRequire } from 'node:module';

const [modules, executablePath, medic, world, to] = process.argv.slice(2);
const { chromium } = createRequire(modules + '/')('playwright-core');
const browser = await chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
const context = await browser.newContext({ viewport: { width: 620, height: 720 }, colorScheme: 'light', locale: 'en', reducedMotion: 'reduce' });
const page = await context.newPage();

async function state(want) {
  for (const end = Date.now() + 60000; Date.now() < end; await page.waitForTimeout(50)) {
    const s = await (await fetch(medic + 'api/status')).json();
    if (s.state === want) return;
  }
  throw new Error('never ' + want);
}
const act = (path, what) => fetch(new URL(path, world), { method: 'POST', headers: { Origin: new URL(world).origin }, body: new URLSearchParams({ what }), redirect: 'manual' });
const shot = (name) => page.screenshot({ path: `${to}/page-${name}.png` });

await page.goto(medic);
await page.waitForTimeout(8000); // some checks for the timeline
await shot('healthy');
const broken = await act('break', 'quic');
if (broken.status !== 303) throw new Error('the lab refuses: ' + broken.status + ' ' + await broken.text());
await state('treating');
await page.waitForTimeout(1200);
await shot('fixing');
await state('healthy');
await page.goto(medic);
await page.locator('.past a').first().click();
await page.waitForLoadState();
await shot('incident');
await browser.close();
