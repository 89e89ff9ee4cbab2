/** Who Sluice is checked with: how each is made ready, and what its API cannot do. */

import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromiumFlags } from '../../support/chromium-flags.js';
import { checkServer, checks, startServer, within } from './checks.js';
import { ask, Missing, prepare, start, versionOf } from './process.js';

const sources = join(import.meta.dirname, 'peers');
export const cache = join(import.meta.dirname, '../../../.cache/interop');
/** Key and certificate for localhost and 127.0.0.1. */
const pem = join(import.meta.dirname, '../../support/localhost.pem');
const MOST_MILLISECONDS = 120_000;

/**
 * What a direction of a peer cannot do, by check, and why.
 *
 * @typedef {Partial<Record<import('./checks.js').Check, string>>} Lacks
 * @typedef {(check: string, problem: string | null) => void} Tell
 * @typedef {{ role: string, lacks: Lacks, run: (tell: Tell) => Promise<void> }} Direction
 * @typedef {{ name: string, prepare: () => { version: string, directions: Direction[] } }} Peer
 */

const noCompression = 'permessage-deflate is not part of it';

/** @type {readonly Peer[]} */
export const peers = [
  {
    name: 'websockets (Python)',
    prepare() {
      const command = [preparePython(), join(sources, 'python/peer.py')];
      const version = pinned('python/requirements.txt', /^websockets==(.*)$/m);
      return {
        version,
        directions: [
          programClient(command),
          programServer(command),
          { ...programClient(command, { secure: true }), role: 'client, TLS' },
        ],
      };
    },
  },
  goPeer('gorilla'),
  goPeer('coder'),
  {
    name: 'tungstenite (Rust)',
    prepare() {
      versionOf('cargo');
      const cwd = join(sources, 'rust');
      prepare('cargo', ['build', '--release', '--locked', '--target-dir', join(cache, 'rust')], { cwd });
      const command = [join(cache, 'rust/release/interop')];
      const lacks = { compression: noCompression };
      return {
        version: pinned('rust/Cargo.lock', /name = "tungstenite"\nversion = "(.*)"/),
        directions: [programClient(command, { lacks }), programServer(command, lacks)],
      };
    },
  },
  {
    name: 'HttpClient (Java)',
    prepare() {
      const version = versionOf('java');
      const command = ['java', join(sources, 'java/Peer.java')];
      return { version, directions: [programClient(command, { lacks: { compression: noCompression } })] };
    },
  },
  {
    name: 'libcurl',
    prepare() {
      const python = preparePython();
      const command = [python, join(sources, 'python/libcurl.py')];
      const version =
        ask(python, ['-c', 'import curl_cffi; print(curl_cffi.__curl_version__)']).split(/[/ -]/)[1] ?? '';
      return { version, directions: [programClient(command, { lacks: { compression: noCompression } })] };
    },
  },
  {
    name: 'libwebsockets (C)',
    prepare() {
      versionOf('cc');
      const version = ask('pkg-config', ['--modversion', 'libwebsockets']).replace(/-$/, '');
      const flags = ask('pkg-config', ['--cflags', '--libs', 'libwebsockets']).split(/\s+/);
      const program = join(cache, 'libwebsockets');
      prepare('cc', ['-O1', '-o', program, join(sources, 'c/peer.c'), ...flags]);
      return { version, directions: [programClient([program]), programServer([program])] };
    },
  },
  runtimePeer('Bun', 'bun', '1.4.5', []),
  runtimePeer('Deno', 'deno', '2.9.6', ['run', '--allow-all', '--no-lock']),
  browserPeer('Chromium', ['chromium', 'chromium-browser', 'google-chrome'], (home) => [
    '--headless',
    ...chromiumFlags,
    `--user-data-dir=${home}`,
  ]),
  browserPeer('Firefox', ['firefox-esr', 'firefox'], (home) => {
    const settings = {
      'datareporting.policy.dataSubmissionEnabled': false,
      'browser.shell.checkDefaultBrowser': false,
      'app.update.auto': false,
    };
    const lines = Object.entries(settings).map(([name, value]) => `user_pref("${name}", ${value});\n`);
    writeFileSync(join(home, 'user.js'), lines.join(''));
    return ['--headless', '--no-remote', '--profile', home];
  }),
  proxyPeer('nginx', '-v', (folder, port, target) => {
    const config = `
      daemon off;
      pid ${folder}/pid;
      error_log stderr;
      events {}
      http {
        access_log off;
        ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')}
        server {
          listen 127.0.0.1:${port} ssl;
          ssl_certificate ${pem};
          ssl_certificate_key ${pem};
          location / {
            proxy_pass http://127.0.0.1:${target};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_set_header Host $host;
          }
        }
      }`;
    writeFileSync(join(folder, 'config'), config);
    return ['nginx', '-e', 'stderr', '-c', join(folder, 'config')];
  }),
  proxyPeer('haproxy', '-v', (folder, port, target) => {
    const config = `
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  timeout tunnel 30s
frontend all
  bind 127.0.0.1:${port} ssl crt ${pem}
  default_backend sluice
backend sluice
  server one 127.0.0.1:${target}
`;
    writeFileSync(join(folder, 'config'), config);
    return ['haproxy', '-db', '-f', join(folder, 'config')];
  }),
];

/** The Python with what the peers of Python need. */
function preparePython() {
  versionOf('python3');
  const folder = join(cache, 'python');
  prepare('python3', ['-m', 'venv', folder]);
  const python = join(folder, 'bin/python');
  const wanted = join(sources, 'python/requirements.txt');
  prepare(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', wanted]);
  return python;
}

/**
 * Sluice in another runtime, whose binary is in the npm registry, and Sluice in Node.js.
 *
 * @param {string} name
 * @param {string} command
 * @param {string} version
 * @param {readonly string[]} args
 * @returns {Peer}
 */
function runtimePeer(name, command, version, args) {
  return {
    name: `Sluice in ${name}`,
    prepare() {
      const folder = join(cache, command);
      prepare('npm', ['install', '--no-audit', '--no-fund', '--prefix', folder, `${command}@${version}`]);
      const program = [join(folder, 'node_modules/.bin', command), ...args, join(sources, 'runtime/peer.js')];
      const alone = ['stream', 'origin'];
      return { version, directions: [programClient(program, { alone }), programServer(program)] };
    },
  };
}

/** @returns {Peer} */
function goPeer(/** @type {'gorilla' | 'coder'} */ name) {
  return {
    name: `${name}/websocket (Go)`,
    prepare() {
      versionOf('go', 'version');
      const program = join(cache, name);
      prepare('go', ['build', '-o', program, `./${name}`], { cwd: join(sources, 'go') });
      const version = pinned('go/go.mod', new RegExp(`github.com/${name}/websocket v(.*)`));
      return { version, directions: [programClient([program]), programServer([program])] };
    },
  };
}

/** The version that a file of the peer says. */
function pinned(/** @type {string} */ file, /** @type {RegExp} */ pattern) {
  return pattern.exec(readFileSync(join(sources, file), 'utf8'))?.[1] ?? '';
}

/**
 * A program that runs the checks as a client, and prints the outcome of each; of others as well that it runs `alone`.
 *
 * @param {readonly string[]} command
 * @param {{ lacks?: Lacks, secure?: boolean, alone?: readonly string[] }} options
 * @returns {Direction}
 */
function programClient(command, { lacks = {}, secure = false, alone = [] } = {}) {
  return {
    role: 'client',
    lacks,
    async run(tell) {
      const http = secure
        ? createTlsServer({ key: readFileSync(pem), cert: readFileSync(pem) })
        : createServer();
      const { verify, close } = await listen(http);
      const url = secure ? [`wss://localhost:${portOf(http)}`, pem] : [`ws://127.0.0.1:${portOf(http)}`];
      const program = start([...command, 'client', ...url]);
      try {
        const told = reports(verify, tell, alone);
        program.lines.on('line', told.add);
        await within(program.ended, MOST_MILLISECONDS);
        await told.done(program.said());
      } finally {
        await program.end();
        await close();
        http.close();
      }
    },
  };
}

/**
 * Takes the lines `CHECK ok` and `CHECK failed WHY` of a client.
 *
 * @param {(check: string) => Promise<void>} verify
 * @param {Tell} tell
 * @param {readonly string[]} alone - checks that the server has no part in
 */
function reports(verify, tell, alone = []) {
  /** @type {Map<string, string>} */
  const told = new Map();
  return {
    add(/** @type {string} */ line) {
      const [check = '', outcome = '', ...why] = line.split(' ');
      if (check in checks || alone.includes(check))
        told.set(check, outcome === 'ok' ? '' : `failed ${why.join(' ')}`);
    },
    /** Tells what came, together with what the server saw of it. */
    async done(/** @type {string} */ said) {
      for (const check of [...Object.keys(checks), ...alone]) {
        const problem = told.get(check) ?? `nothing came of it. ${said}`;
        const seen =
          problem === '' && check in checks ? await verify(check).catch((error) => error.message) : undefined;
        tell(check, problem || seen || null);
      }
    },
  };
}

/**
 * A program that serves, and prints where.
 *
 * @param {readonly string[]} command
 * @param {Lacks} lacks
 * @returns {Direction}
 */
function programServer(command, lacks = {}) {
  return {
    role: 'server',
    lacks,
    async run(tell) {
      const program = start([...command, 'server']);
      try {
        const [line] = /** @type {[string]} */ (await within(once(program.lines, 'line')));
        const url = `ws://127.0.0.1:${line.split(' ')[1]}`;
        await checkServer({ url, lacks }, tell);
      } catch (error) {
        throw new Error(`${/** @type {Error} */ (error).message}. ${program.said()}`);
      } finally {
        await program.end();
      }
    },
  };
}

/**
 * A browser that opens a page which runs the checks.
 *
 * @param {string} name
 * @param {readonly string[]} commands
 * @param {(home: string) => string[]} argsOf
 * @returns {Peer}
 */
function browserPeer(name, commands, argsOf) {
  return {
    name,
    prepare() {
      for (const command of commands) {
        let version;
        try {
          version = versionOf(command);
        } catch {
          continue;
        }
        const run = (/** @type {Tell} */ tell) => runBrowser(command, argsOf, tell);
        return { version, directions: [{ role: 'client', lacks: {}, run }] };
      }
      throw new Missing(`no ${commands[0]}`);
    },
  };
}

async function runBrowser(
  /** @type {string} */ command,
  /** @type {(home: string) => string[]} */ argsOf,
  /** @type {Tell} */ tell,
) {
  const page = readFileSync(join(sources, 'browser/page.html'));
  /** @type {ReturnType<typeof reports>} */
  let told;
  /** @type {() => void} */
  let end = () => {};
  const ended = new Promise((resolve) => {
    end = () => resolve(undefined);
  });
  const http = createServer(async (request, response) => {
    if (request.method !== 'POST') {
      response.setHeader('Content-Type', 'text/html').end(request.url === '/' ? page : '');
      return;
    }
    let line = '';
    for await (const part of request) line += part;
    response.end();
    if (line === 'end') end();
    else told.add(line);
  });
  const { verify, close } = await listen(http);
  told = reports(verify, tell);
  const home = mkdtempSync(join(tmpdir(), 'sluice-browser-'));
  const program = start([command, ...argsOf(home), `http://127.0.0.1:${portOf(http)}/`], {
    env: { ...process.env, HOME: home },
  });
  try {
    await Promise.race([within(ended, MOST_MILLISECONDS), program.ended]);
    await told.done(program.said());
  } finally {
    await program.end();
    await close();
    http.closeAllConnections();
    http.close();
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  }
}

/**
 * A proxy between the client and the server of Sluice, which it speaks TLS for.
 *
 * @param {string} command
 * @param {string} flag
 * @param {(folder: string, port: number, target: number) => string[]} configure
 * @returns {Peer}
 */
function proxyPeer(command, flag, configure) {
  return {
    name: command,
    prepare() {
      const version = versionOf(command, flag);
      return {
        version,
        directions: [{ role: 'proxy, TLS', lacks: {}, run: (tell) => runProxy(configure, tell) }],
      };
    },
  };
}

async function runProxy(
  /** @type {(folder: string, port: number, target: number) => string[]} */ configure,
  /** @type {Tell} */ tell,
) {
  const http = createServer();
  const { close } = await listen(http);
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'sluice-proxy-'));
  const program = start(configure(folder, port, portOf(http)));
  try {
    await within(reachable(port));
    const tls = { ca: readFileSync(pem, 'utf8') };
    await checkServer({ url: `wss://localhost:${port}`, tls, lacks: {} }, tell);
  } catch (error) {
    throw new Error(`${/** @type {Error} */ (error).message}. ${program.said()}`);
  } finally {
    await program.end();
    await close();
    http.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Listens with Sluice on an HTTP server. */
async function listen(/** @type {import('node:http').Server} */ http) {
  const started = startServer(http);
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  return started;
}

const portOf = (/** @type {import('node:net').Server} */ server) =>
  /** @type {import('node:net').AddressInfo} */ (server.address()).port;

async function freePort() {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = portOf(server);
  server.close();
  await once(server, 'close');
  return port;
}

/** Resolves when something listens there. */
async function reachable(/** @type {number} */ port) {
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    } finally {
      socket.destroy();
    }
  }
}
