#!/usr/bin/env node
/** The binary `sluice`. */
import { run } from './run.js';

const { stdin, stdout, stderr } = process;
const controller = new AbortController();
// A second signal ends the process as it would without us
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort());
// Whoever read the output is gone, as in `sluice demo | head`
stdout.on('error', () => controller.abort());

process.exitCode = await run(process.argv.slice(2), { stdin, stdout, stderr, signal: controller.signal });
