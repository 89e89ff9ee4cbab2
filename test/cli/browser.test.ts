import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { run } from '../../src/cli/run.js';
import { hasChromium, withPage } from '../support/chromium.js';

test.skipIf(!hasChromium)(
  'a browser sends text and binary through the page of sluice echo, and sees both come back',
  async () => {
    const controller = new AbortController();
    const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
    const code = run(['echo', '--port', '0'], { stdin, stdout, stderr, signal: controller.signal });
    const url = await new Promise<string>((resolve) =>
      stdout.on('data', (data) => resolve(/http:\S+/.exec(String(data))![0])),
    );
    try {
      await withPage(async (page) => {
        const errors: string[] = [];
        page.on('pageerror', (error) => errors.push(error.message));
        page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
        await page.goto(url);
        await page.waitForSelector('#status[data-state="open"]');

        await page.fill('#text', 'Grüße aus dem Browser 😀');
        await page.click('#send');
        const text = page.locator('#log li.received').first();
        await text.waitFor();
        expect(await text.locator('.body').textContent()).toBe('Grüße aus dem Browser 😀');
        expect(await text.getAttribute('data-type')).toBe('text');
        expect(await text.locator('.same').textContent()).toBe('identical');

        await page.check('#mode-hex');
        await page.fill('#hex', '00 ff 80 7f');
        await page.click('#send');
        const hex = page.locator('#log li.received').nth(1);
        await hex.waitFor();
        expect(await hex.locator('.body').textContent()).toBe('00 ff 80 7f');
        expect([await hex.getAttribute('data-type'), await hex.getAttribute('data-size')]).toEqual([
          'binary',
          '4',
        ]);

        await page.check('#mode-file');
        await page.setInputFiles('#file', {
          name: 'large',
          mimeType: 'application/octet-stream',
          buffer: Buffer.alloc(1_000_000, 'file'),
        });
        await page.click('#send');
        const file = page.locator('#log li.received').nth(2);
        await file.waitFor();
        expect([await file.getAttribute('data-size'), await file.locator('.same').textContent()]).toEqual([
          '1000000',
          'identical',
        ]);

        const screenshot = process.env['SLUICE_SCREENSHOT'];
        if (screenshot !== undefined) await page.screenshot({ path: screenshot });
        controller.abort();
        await page.waitForSelector('#status[data-state="closed"]');
        expect(await page.locator('#log li.note').textContent()).toBe('closed with 1001');
        expect(errors).toEqual([]);
        expect(await code).toBe(0);
      });
    } finally {
      controller.abort();
    }
  },
  60_000,
);
