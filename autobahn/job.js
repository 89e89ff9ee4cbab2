/** One run of the suite against one testee: some cases, one role, a folder of its own for the reports. */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** A run of the longest cases takes a few minutes; one that hangs is ended and its cases have no result. */
const deadline = 20 * 60_000;

/**
 * @typedef {'server' | 'client'} Role Of the testee; the suite has the other.
 * @typedef {{ role: Role, cases: string[], folder: string }} Job
 * @typedef {import('node:child_process').ChildProcess} ChildProcess
 * @typedef {(child: ChildProcess) => ChildProcess} Own Ends the child with the job.
 */

/**
 * Resolves when the suite has ended; what came out of it is in the job's folder.
 *
 * @param {import('./suite.js').Suite} suite
 * @param {string} testee
 * @param {Job} job
 */
export async function runJob(suite, testee, job) {
  /** @type {ChildProcess[]} */
  const children = [];
  const own = (/** @type {ChildProcess} */ child) => {
    children.push(child);
    return child;
  };
  const stop = () => {
    for (const child of children) child.kill();
  };
  const timer = setTimeout(stop, deadline);
  process.once('exit', stop);
  try {
    await (job.role === 'server' ? testServer : testClient)(suite, testee, job, own);
  } catch (error) {
    console.log(`The run in ${job.folder} was cut short: ${error}`);
  } finally {
    process.removeListener('exit', stop);
    clearTimeout(timer);
    stop();
  }
}

/**
 * The fuzzing client visits an echo server, and ends by itself.
 *
 * @param {import('./suite.js').Suite} suite
 * @param {string} testee
 * @param {Job} job
 * @param {Own} own
 */
async function testServer(suite, testee, { cases, folder }, own) {
  const server = own(forkTestee('server.js', testee));
  const port = await Promise.race([
    once(server, 'message').then(([message]) => message),
    ended(server).then(() => Promise.reject(new Error('The echo server ended'))),
  ]);
  const spec = { servers: [{ agent: testee, url: `ws://127.0.0.1:${port}` }], cases };
  await ended(own(suite.start('fuzzingclient', spec, folder)));
}

/**
 * A client visits the fuzzing server, case by case, and asks for the reports.
 *
 * @param {import('./suite.js').Suite} suite
 * @param {string} testee
 * @param {Job} job
 * @param {Own} own
 */
async function testClient(suite, testee, { cases, folder }, own) {
  const port = await freePort();
  const url = `ws://127.0.0.1:${port}`;
  const fuzzer = own(suite.start('fuzzingserver', { url, cases }, folder));
  const fuzzerEnded = ended(fuzzer);
  while (!(await accepts(port))) {
    if (fuzzer.exitCode !== null || fuzzer.signalCode !== null) throw new Error('The fuzzing server ended');
    await delay(50);
  }
  await ended(own(forkTestee('client.js', testee, url)));
  fuzzer.kill();
  await fuzzerEnded;
}

/**
 * @param {string} file
 * @param {string[]} args
 */
function forkTestee(file, ...args) {
  return fork(join(import.meta.dirname, 'testees', file), args);
}

/**
 * @param {ChildProcess} child
 * @returns {Promise<void>}
 */
function ended(child) {
  return new Promise((resolve) => child.once('close', () => resolve()));
}

/** @returns {Promise<number>} */
async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  server.close();
  await once(server, 'close');
  return port;
}

/**
 * @param {number} port
 * @returns {Promise<boolean>}
 */
function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.destroy());
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
  });
}
