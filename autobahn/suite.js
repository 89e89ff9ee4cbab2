/** Starts the Autobahn test suite: the official image where a container engine runs, else Python 2.7. */

import { spawn, spawnSync } from 'node:child_process';
import { createWriteStream, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { installSuite } from './install.js';

const image = 'crossbario/autobahn-testsuite';

/**
 * @typedef {'fuzzingclient' | 'fuzzingserver'} Mode
 * @typedef {{ name: string, start(mode: Mode, spec: object, folder: string): import('node:child_process').ChildProcess }} Suite
 */

/** @returns {Suite} */
export function prepareSuite() {
  if (hasImage()) {
    return {
      name: `${image} (Docker)`,
      // The folder has the same path on both sides, and the network is that of the host.
      start: (mode, spec, folder) =>
        launch(
          'docker',
          [
            'run',
            '--rm',
            '--init',
            '--network=host',
            '--user',
            `${process.getuid?.()}:${process.getgid?.()}`,
          ].concat(['--volume', `${folder}:${folder}`, '--workdir', folder, image, 'wstest']),
          mode,
          spec,
          folder,
        ),
    };
  }
  const python = installSuite();
  return {
    name: `autobahntestsuite (${python})`,
    start: (mode, spec, folder) =>
      launch(python, [join(import.meta.dirname, 'launcher.py')], mode, spec, folder),
  };
}

function hasImage() {
  if (spawnSync('docker', ['info']).status !== 0) return false;
  if (spawnSync('docker', ['image', 'inspect', image]).status === 0) return true;
  console.log(`Pulling ${image}`);
  return spawnSync('docker', ['pull', '--quiet', image], { stdio: 'inherit' }).status === 0;
}

/**
 * Runs wstest in `folder`, where it leaves its reports and `wstest.log`.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {Mode} mode
 * @param {object} spec
 * @param {string} folder
 */
function launch(command, args, mode, spec, folder) {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'spec.json');
  writeFileSync(file, JSON.stringify({ ...spec, outdir: folder }));
  const child = spawn(command, [...args, '-m', mode, '-s', file, '-u', '0'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const log = createWriteStream(join(folder, 'wstest.log'));
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  child.on('close', () => log.end());
  return child;
}
