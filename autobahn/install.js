/** The Autobahn test suite in a Python 2.7 virtual environment, for machines without a container engine. */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The last releases that run on Python 2.7 together; the suite's own list of pins does not install any more. */
const tools = ['pip==20.3.4', 'setuptools==44.0.0', 'wheel==0.36.2'];
const packages = [
  'incremental==16.10.1',
  'six==1.16.0',
  'constantly==15.1.0',
  'attrs==20.3.0',
  'Automat==0.8.0',
  'idna==2.10',
  'hyperlink==19.0.0',
  'zope.interface==4.6.0',
  'Twisted==19.10.0',
  'txaio==2.1.0',
  'MarkupSafe==1.1.1',
  'Jinja2==2.11.3',
  'wsaccel==0.6.2',
  'autobahn==0.10.9',
  'autobahntestsuite==25.10.1',
];
const virtualenv = 'virtualenv==20.15.1';

const cache = join(import.meta.dirname, '..', '.cache', 'autobahn');

/** The path of a Python that has the suite: built at the first call, kept in `.cache/autobahn`. */
export function installSuite() {
  const python = join(cache, 'env', 'bin', 'python');
  const stamp = join(cache, 'installed.txt');
  const wanted = [virtualenv, ...tools, ...packages].join('\n');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted && isPython2(python)) return python;

  const base = findPython();
  console.log(`Installing the Autobahn test suite with ${base}`);
  rmSync(cache, { recursive: true, force: true });
  mkdirSync(cache, { recursive: true });
  run(base, ['-m', 'pip', 'install', '-q', '--target', join(cache, 'virtualenv'), virtualenv]);
  run(base, ['-m', 'virtualenv', '-q', '--no-download', join(cache, 'env')], {
    PYTHONPATH: join(cache, 'virtualenv'),
  });
  run(python, ['-m', 'pip', 'install', '-q', '--no-deps', ...tools]);
  run(python, ['-m', 'pip', 'install', '-q', '--no-deps', '--no-build-isolation', ...packages]);
  writeFileSync(stamp, wanted);
  return python;
}

/** A Python 2.7 that runs: pyenv puts a `python2.7` on PATH that refuses to. */
function findPython() {
  const found = [process.env.PYTHON2, 'python2.7', ...pyenvPythons()].find(isPython2);
  if (found) return found;
  if (spawnSync('pyenv', ['--version']).status === 0) {
    console.log('Building Python 2.7.18 with pyenv');
    run('pyenv', ['install', '--skip-existing', '2.7.18']);
    const built = pyenvPythons().find(isPython2);
    if (built) return built;
  }
  throw new Error('Found no Python 2.7 to install the Autobahn test suite: set PYTHON2, or install pyenv');
}

function pyenvPythons() {
  const versions = join(process.env.PYENV_ROOT ?? join(homedir(), '.pyenv'), 'versions');
  if (!existsSync(versions)) return [];
  return readdirSync(versions)
    .filter((name) => name.startsWith('2.7'))
    .map((name) => join(versions, name, 'bin', 'python'));
}

/** @param {string | undefined} python */
function isPython2(python) {
  if (!python) return false;
  return spawnSync(python, ['-c', 'import sys; sys.exit(sys.version_info[:2] != (2, 7))']).status === 0;
}

/**
 * @param {string} command
 * @param {string[]} args
 * @param {Record<string, string>} [env]
 */
function run(command, args, env) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    env: { ...process.env, ...env },
    encoding: 'utf8',
  });
  if (status !== 0) {
    throw new Error(`Failed to run ${command} ${args.join(' ')}\n${error ?? stdout + stderr}`);
  }
}
