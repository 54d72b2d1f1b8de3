// Debian's Chromium in Home Assistant's own frontend: a person signs in, opens the notifications and follows the link.
// Run by addon/ingress_test.go, which builds the world around it.
import { createRequire } from 'node:module';

const cfg = JSON.parse(process.argv[2]);
const { chromium } = createRequire(cfg.modules + '/')('playwright-core');

let bad = 0;
const check = (ok, what) => { if (!ok) bad++; console.log((ok ? '    ok   ' : '    BAD  ') + what); };
const shot = async (page, name) => { if (cfg.shots) await page.screenshot({ path: `${cfg.shots}/frontend-${name}.png` }); };

const browser = await chromium.launch({ executablePath: cfg.chromium, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
const page = await (await browser.newContext({ viewport: { width: 1100, height: 900 } })).newPage();
page.setDefaultTimeout(40000);
// What the daemon's page shows, wherever the frontend has put it.
const shown = (ms) => page.frameLocator('iframe').locator('#headline').textContent({ timeout: ms });
try {
  await page.goto(cfg.core);
  await page.locator('input[name=username]').fill(cfg.name);
  await page.locator('input[name=password]').fill(cfg.password);
  await page.locator('input[name=password]').press('Enter');
  await page.locator('home-assistant-main').waitFor({ state: 'attached' });
  await page.waitForFunction(() => document.querySelector('home-assistant')?.hass?.panels);

  // Since 2026.8 new settings of the HTTP server, configuration.yaml's too, want a person's word.
  await page.getByRole('button', { name: 'Confirm', exact: true }).click();

  await page.getByText('Notifications', { exact: true }).first().click();
  const link = page.locator(`a[href="${cfg.link}"]`).first();
  await link.waitFor();
  await shot(page, 'notification');
  await link.click();
  const headline = await shown();
  check(new URL(page.url()).pathname === cfg.link, `the click leads to ${new URL(page.url()).pathname}`);
  check(headline.length > 0, `and there stands: ${headline}`);
  await page.frameLocator('iframe').locator('button').first().waitFor();
  await shot(page, 'page');

  // From a phone's notification the frontend is opened with the link as its address.
  await page.goto(cfg.core + cfg.link);
  check((await shown()) === headline, 'opened by its address, as from a phone, it shows the same');

  // The panel's look is the page's too, as both are of one origin: on a phone it is narrow and has the title.
  const inside = () => page.frames().find((f) => f.name() !== '' || f.url().includes('/api/hassio_ingress/'));
  await page.setViewportSize({ width: 390, height: 844 });
  await inside().waitForSelector('html.narrow');
  const looks = () => inside().evaluate(() => ({ theme: document.documentElement.dataset.theme, card: getComputedStyle(document.querySelector('.card')).backgroundColor }));
  const around = () => page.evaluate(() => { const i = document.createElement('i'); i.style.color = getComputedStyle(document.documentElement).getPropertyValue('--card-background-color'); document.body.append(i); return getComputedStyle(i).color; });
  let look = await looks();
  check(look.theme === 'light' && look.card === await around(), `on a phone the panel is narrow; cards are ${look.card} as those around`);
  await page.evaluate(() => document.querySelector('home-assistant').dispatchEvent(new CustomEvent('settheme', { detail: { dark: true } })));
  await inside().waitForSelector('html[data-theme=dark]');
  look = await looks();
  check(look.card === await around(), `dark chosen in the profile: cards are ${look.card} as those around`);
  await shot(page, 'page-dark');

  // What this can find: the address of before 2026.2 shows nothing any more.
  const answer = await page.goto(cfg.core + cfg.link.replace('/app/', '/hassio/ingress/'));
  const dead = answer.status() === 404 ? '' : await shown(5000).catch(() => '');
  check(dead === '', `the address of earlier years shows nothing (HTTP ${answer.status()})`);
} catch (e) {
  check(false, String(e.message ?? e).split('\n').slice(0, 3).join(' '));
  console.log('         ' + page.url());
  await shot(page, 'lost');
}
await browser.close();
process.exit(bad ? 1 : 0);
