/** The page that `sluice echo` serves at `/`: one file, no external resources; a browser talks to the server through it. */
import { createHash } from 'node:crypto';

const style = `
  :root {
    color-scheme: light dark;
    --page: #f4f6f8; --panel: #ffffff; --line: #dde3e9; --ink: #16202a; --soft: #5c6b79;
    --accent: #0b6bcb; --on-accent: #ffffff; --echo: #eef2f6; --good: #1a7f4b; --bad: #c2352b;
  }
  @media (prefers-color-scheme: dark) {
    :root {
      --page: #0e1318; --panel: #171e25; --line: #2a343e; --ink: #e6edf3; --soft: #94a3b1;
      --accent: #4aa3ff; --on-accent: #06131f; --echo: #222b34; --good: #4cc38a; --bad: #ff7b72;
    }
  }
  * { box-sizing: border-box; }
  body {
    margin: 0 auto; padding: 0 1rem; max-width: 46rem; height: 100dvh; display: flex; flex-direction: column;
    background: var(--page); color: var(--ink); font: 15px/1.45 system-ui, sans-serif;
  }
  header { display: flex; align-items: center; gap: .75rem; padding: 1rem .25rem; }
  h1 { margin: 0; font-size: 1.1rem; letter-spacing: -.01em; }
  #url { color: var(--soft); font: .85rem ui-monospace, monospace; overflow: hidden; text-overflow: ellipsis; }
  #status { margin-left: auto; display: flex; align-items: center; gap: .45rem; white-space: nowrap; color: var(--soft); }
  #status::before { content: ""; width: .6rem; height: .6rem; border-radius: 50%; background: var(--soft); }
  #status[data-state="open"]::before { background: var(--good); }
  #status[data-state="closed"]::before { background: var(--bad); }
  #log {
    flex: 1; min-height: 0; overflow-y: auto; margin: 0; padding: 1rem; list-style: none; display: flex; flex-direction: column;
    gap: .7rem; background: var(--panel); border: 1px solid var(--line); border-radius: .8rem;
  }
  #log:empty::before { content: "Send something: it comes back as it went out."; margin: auto; color: var(--soft); }
  #log li { max-width: 80%; align-self: flex-start; }
  #log li.sent { align-self: flex-end; }
  #log li.note { align-self: center; color: var(--soft); font-size: .85rem; }
  .body {
    padding: .5rem .8rem; border-radius: .9rem .9rem .9rem .25rem; background: var(--echo);
    white-space: pre-wrap; overflow-wrap: anywhere;
  }
  .sent .body { border-radius: .9rem .9rem .25rem .9rem; background: var(--accent); color: var(--on-accent); }
  [data-type="binary"] .body { font: .85rem/1.5 ui-monospace, monospace; }
  .meta { margin: .2rem .5rem 0; color: var(--soft); font-size: .78rem; font-variant-numeric: tabular-nums; }
  .sent .meta { text-align: right; }
  .same { color: var(--good); } .differs { color: var(--bad); font-weight: 600; }
  form { padding: .9rem 0 1rem; display: grid; gap: .6rem; }
  fieldset { border: 0; margin: 0; padding: 0; display: flex; gap: .25rem; }
  fieldset label { position: relative; padding: .2rem .8rem; border-radius: 1rem; color: var(--soft); cursor: pointer; }
  fieldset label:has(:checked) { background: var(--panel); color: var(--ink); box-shadow: 0 0 0 1px var(--line); }
  fieldset label:has(:focus-visible), button:focus-visible, .field:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
  fieldset input { position: absolute; inset: 0; margin: 0; opacity: 0; cursor: pointer; }
  .row { display: flex; gap: .6rem; align-items: stretch; }
  .field {
    flex: 1; min-width: 0; padding: .6rem .8rem; border: 1px solid var(--line); border-radius: .6rem; font: inherit;
    background: var(--panel); color: inherit; resize: none;
  }
  #hex { font-family: ui-monospace, monospace; }
  button {
    padding: .55rem 1.2rem; border: 0; border-radius: .6rem; font: inherit; font-weight: 600; cursor: pointer;
    background: var(--accent); color: var(--on-accent);
  }
  button.quiet { padding: .25rem .8rem; background: none; color: inherit; font-weight: 400; box-shadow: 0 0 0 1px var(--line); }
  button:disabled { opacity: .45; cursor: default; }
  [hidden] { display: none !important; }
`;

const script = `
  const $ = (id) => document.getElementById(id);
  const url = location.origin.replace(/^http/, 'ws') + '/';
  const pending = [];
  let socket;

  const size = (n) => n < 1024 ? n + (n === 1 ? ' byte' : ' bytes')
    : n < 1048576 ? (n / 1024).toFixed(1) + ' KiB' : (n / 1048576).toFixed(1) + ' MiB';
  const hex = (bytes) => Array.from(bytes.subarray(0, 48), (b) => b.toString(16).padStart(2, '0')).join(' ')
    + (bytes.length > 48 ? ' …' : '');
  const bytesOf = (data) => typeof data === 'string' ? new TextEncoder().encode(data) : new Uint8Array(data);
  const equal = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);

  function element(name, className, text) {
    const node = document.createElement(name);
    node.className = className;
    node.textContent = text;
    return node;
  }

  function append(item) {
    $('log').append(item);
    $('log').scrollTop = $('log').scrollHeight;
  }

  function show(direction, data, bytes, ...details) {
    const item = element('li', direction, '');
    const type = typeof data === 'string' ? 'text' : 'binary';
    item.dataset.type = type;
    item.dataset.size = bytes.length;
    const body = type === 'binary' ? hex(bytes) : data.length > 4000 ? data.slice(0, 4000) + ' …' : data;
    const meta = element('div', 'meta', type + ' · ' + size(bytes.length));
    for (const detail of details) meta.append(' · ', detail);
    item.append(element('div', 'body', body || '(empty)'), meta);
    append(item);
  }

  function state(name) {
    $('status').dataset.state = name;
    $('status').textContent = name;
    $('connect').textContent = name === 'closed' ? 'Connect' : 'Close';
    $('send').disabled = name !== 'open';
  }

  function open() {
    socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    state('connecting');
    socket.onopen = () => state('open');
    socket.onmessage = ({ data }) => {
      const bytes = bytesOf(data);
      const sent = pending.shift();
      if (!sent) return show('received', data, bytes);
      const same = sent.type === typeof data && equal(sent.bytes, bytes);
      show('received', data, bytes, (performance.now() - sent.at).toFixed(1) + ' ms',
        element('span', same ? 'same' : 'differs', same ? 'identical' : 'differs'));
    };
    socket.onclose = ({ code, reason }) => {
      pending.length = 0;
      state('closed');
      append(element('li', 'note', 'closed with ' + code + (reason && ' ' + reason)));
    };
  }

  function send(data) {
    const bytes = bytesOf(data);
    show('sent', data, bytes);
    pending.push({ type: typeof data, bytes, at: performance.now() });
    socket.send(data);
  }

  const modes = {
    text() { send($('text').value); $('text').value = ''; },
    hex() {
      const digits = $('hex').value.replace(/[\\s:,]|0x/gi, '');
      const valid = digits.length % 2 === 0 && !/[^0-9a-f]/i.test(digits);
      $('hex').setCustomValidity(valid ? '' : 'Pairs of hexadecimal digits, such as 48 65 6c');
      if (!$('hex').reportValidity()) return;
      send(Uint8Array.from({ length: digits.length / 2 }, (_, i) => parseInt(digits.slice(2 * i, 2 * i + 2), 16)).buffer);
      $('hex').value = '';
    },
    async file() {
      for (const file of $('file').files) send(await file.arrayBuffer());
      $('file').value = '';
    },
  };
  const mode = () => document.forms[0].elements.mode.value;

  function choose() {
    for (const name of Object.keys(modes)) $(name).hidden = name !== mode();
    $(mode()).focus();
  }

  $('url').textContent = url;
  $('connect').onclick = () => socket.readyState === WebSocket.CLOSED ? open() : socket.close(1000);
  $('hex').oninput = () => $('hex').setCustomValidity('');
  $('text').onkeydown = (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    document.forms[0].requestSubmit($('send'));
  };
  document.forms[0].onchange = (event) => { if (event.target.name === 'mode') choose(); };
  document.forms[0].onsubmit = (event) => {
    event.preventDefault();
    if (socket.readyState === WebSocket.OPEN) modes[mode()]();
  };
  choose();
  open();
`;

const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** The Content-Security-Policy of the page: its own style and script, and the server it came from. */
export const echoPagePolicy: string = [
  "default-src 'none'",
  `style-src ${hashOf(style)}`,
  `script-src ${hashOf(script)}`,
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

export const echoPage: string = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>Sluice echo</title>
<style>${style}</style>
</head>
<body>
<header>
  <h1>Sluice echo</h1>
  <span id="url"></span>
  <span id="status" role="status" data-state="connecting">connecting</span>
  <button id="connect" class="quiet" type="button">Close</button>
</header>
<ol id="log" aria-live="polite"></ol>
<form>
  <fieldset aria-label="What to send">
    <label><input type="radio" name="mode" value="text" id="mode-text" checked>Text</label>
    <label><input type="radio" name="mode" value="hex" id="mode-hex">Hex</label>
    <label><input type="radio" name="mode" value="file" id="mode-file">File</label>
  </fieldset>
  <div class="row">
    <textarea id="text" class="field" rows="1" placeholder="A text message" aria-label="Text to send"></textarea>
    <input id="hex" class="field" placeholder="48 65 6c 6c 6f" spellcheck="false" autocomplete="off" aria-label="Bytes to send, in hexadecimal" hidden>
    <input id="file" class="field" type="file" multiple aria-label="File to send" hidden>
    <button id="send" disabled>Send</button>
  </div>
</form>
<script>${script}</script>
</body>
</html>
`;
