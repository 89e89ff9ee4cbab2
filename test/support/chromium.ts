/** The Chromium of the machine, for tests in a browser; they are skipped where there is none. */

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type Page } from 'playwright-core';
import { chromiumFlags } from './chromium-flags.js';

const candidates = [
  process.env['CHROME_PATH'],
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];
const executablePath = candidates.find((path) => path !== undefined && existsSync(path));
if (executablePath === undefined) {
  console.warn('No Chromium is installed: tests in a browser are skipped. CHROME_PATH names one.');
}

export const hasChromium: boolean = executablePath !== undefined;

/** Runs `use` with a page of a browser of its own. */
export async function withPage(use: (page: Page) => Promise<void>): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'sluice-chromium-'));
  const browser = await chromium.launchPersistentContext(home, {
    executablePath: executablePath!,
    headless: true,
    args: chromiumFlags,
  });
  try {
    await use(await browser.newPage());
  } finally {
    await browser.close();
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  }
}
