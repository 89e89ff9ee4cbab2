/**
 * The opening handshake (RFC 6455 §4): requests to the server's side, responses to the client's. Nothing but a
 * HandshakeError escapes, and what is accepted obeys the rules, which are written here a second time.
 *
 *     setup   bits 0: request or response, 1-4: the parameters of permessage-deflate, 5: no extension at all
 *     then    the head, by lines
 */
import { type ExtensionFactory, HandshakeError, permessageDeflate } from '../../../src/index.js';
import {
  type Agreement,
  checkRequest,
  checkResponse,
  type ServerHandshake,
  switchProtocols,
} from '../../../src/protocol.js';
import { ACCEPT, KEY, parseHead, requestHead, responseHead } from '../heads.js';
import { must, shown, type Target } from '../target.js';

/** What is tested. */
export interface Handshake {
  readonly checkRequest: typeof checkRequest;
  readonly checkResponse: typeof checkResponse;
}

const statuses = [400, 405, 426, 505];
const subprotocols = ['chat', 'superchat'];
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** @param handshake - what is tested */
export function handshakeTarget(handshake: Handshake = { checkRequest, checkResponse }): Target {
  return {
    name: 'handshake',
    setup: 1,
    parts: (input) => linesOf(input),
    generate(random) {
      const flags = random.below(2) | (random.below(64) & random.below(64) & ~1);
      const head = (flags & 1) === 0 ? requestHead(random) : responseHead(random);
      return Buffer.concat([Buffer.from([flags]), head]);
    },
    async check(input) {
      const flags = input[0] ?? 0;
      const check = (flags & 1) === 0 ? checkServer : checkClient;
      check(handshake, input.subarray(1), extensionsOf(flags));
    },
  };
}

function extensionsOf(flags: number): ExtensionFactory[] {
  if ((flags & 32) !== 0) return [];
  const options = {
    serverNoContextTakeover: (flags & 2) !== 0,
    clientNoContextTakeover: (flags & 4) !== 0,
    serverMaxWindowBits: (flags & 8) === 0 ? 15 : 10,
    clientMaxWindowBits: (flags & 16) === 0 ? 15 : 10,
  };
  return [permessageDeflate(options)];
}

function checkServer(tested: Handshake, head: Buffer, extensions: ExtensionFactory[]): void {
  const { first, rawHeaders } = parseHead(head);
  const [method = '', target = '', protocol = ''] = first.split(' ');
  // node:http lets no other version through
  const httpVersion = /^HTTP\/(\d\.\d)$/.exec(protocol)?.[1] ?? '1.0';
  const result = tested.checkRequest({ method, target, httpVersion, rawHeaders });
  if ('status' in result) {
    must(
      statuses.includes(result.status),
      'a request is refused with a status of the table',
      `${result.status}`,
    );
    must(typeof result.body === 'string' && result.body.length > 0, 'a refusal says why');
    return;
  }
  const values = fieldsOf(rawHeaders);
  must(method === 'GET', '§4.2.1 item 1 the method is GET', method);
  must(Number(httpVersion) >= 1.1, '§4.2.1 item 1 HTTP/1.1 or higher', httpVersion);
  must(elementsOf(values('upgrade')).includes('websocket'), '§4.2.1 item 3 Upgrade has websocket');
  must(elementsOf(values('connection')).includes('upgrade'), '§4.2.1 item 4 Connection has Upgrade');
  must(values('host').join() === result.host && result.host !== '', '§4.2.1 item 2 one Host');
  must(values('sec-websocket-version').join() === '13', '§4.2.1 item 6 Version is 13, once');
  must(values('sec-websocket-key').join() === result.key, '§4.2.1 item 5 one key');
  must(/^[A-Za-z0-9+/]{22}==$/.test(result.key), '§4.2.1 item 5 the key is base64 of 16 bytes', result.key);
  must(values('origin').length <= 1, '§4.2.1 item 7 Origin once at most');
  must(values('transfer-encoding').length === 0, '§4.1 no body');
  checkOffer(result, values('sec-websocket-protocol'));
  checkAnswer(tested, result, extensions);
}

function checkOffer({ subprotocols, extensions }: ServerHandshake, values: readonly string[]): void {
  must(
    subprotocols.every((name) => token.test(name)),
    '§4.1 item 10 subprotocols are tokens',
  );
  must(new Set(subprotocols).size === subprotocols.length, '§4.1 item 10 subprotocols are different');
  must(values.length === 0 || subprotocols.length > 0, '§4.1 item 10 no offer is left out');
  must(
    extensions.every(({ name }) => token.test(name)),
    '§9.1 extensions are tokens',
  );
}

/** The answer is one head without anything of the peer in it that is not a token, and a client takes it. */
function checkAnswer(tested: Handshake, request: ServerHandshake, extensions: ExtensionFactory[]): void {
  const [subprotocol = ''] = request.subprotocols;
  const answer = switchProtocols(request, { subprotocol, extensions });
  for (const extension of answer.extensions) extension.close();
  const lines = answer.head.split('\r\n');
  const whole = lines.at(-1) === '' && lines.at(-2) === '' && lines[0] === 'HTTP/1.1 101 Switching Protocols';
  must(whole, 'the answer is one head', () => shown(answer.head));
  const fields = lines.slice(1, -2);
  must(
    fields.every((line) => /^[A-Za-z-]+: [\x21-\x7e]+(?: [\x21-\x7e]+)*$/.test(line)),
    'its fields are well-formed',
    () => shown(fields),
  );
  must(answer.extensions.length <= extensions.length, '§9.1 no extension is taken that is not spoken');
  const { rawHeaders } = parseHead(Buffer.from(answer.head.trimEnd(), 'latin1'));
  // The client offered whatever the request says; what it cannot have offered is left out
  const without = rawHeaders.filter((_, i, all) => all[i - (i % 2)] !== 'Sec-WebSocket-Extensions');
  const offer = { key: request.key, subprotocols: request.subprotocols };
  const agreed = tested.checkResponse({ status: 101, rawHeaders: without }, offer);
  must(agreed.subprotocol === subprotocol, 'a client takes the answer');
}

function checkClient(tested: Handshake, head: Buffer, extensions: ExtensionFactory[]): void {
  const { first, rawHeaders } = parseHead(head);
  const status = Number.parseInt(first.split(' ')[1] ?? '', 10) || 0;
  let agreed: Agreement;
  try {
    agreed = tested.checkResponse({ status, rawHeaders }, { key: KEY, subprotocols, extensions });
  } catch (error) {
    if (!(error instanceof HandshakeError)) throw error;
    must(error.status === status, 'the error has the status of the response');
    return;
  }
  for (const extension of agreed.extensions) extension.close();
  const values = fieldsOf(rawHeaders);
  must(status === 101, '§4.1 the status is 101', `${status}`);
  must(values('upgrade').join().toLowerCase() === 'websocket', '§4.1 Upgrade is websocket');
  must(elementsOf(values('connection')).includes('upgrade'), '§4.1 Connection has upgrade');
  must(values('sec-websocket-accept').join() === ACCEPT, '§4.1 Accept is right');
  must(
    values('sec-websocket-protocol').join() === agreed.subprotocol,
    '§4.1 the subprotocol is the one that was sent',
  );
  const offered = agreed.subprotocol === '' || subprotocols.includes(agreed.subprotocol);
  must(offered, '§4.1 the subprotocol was offered', agreed.subprotocol);
  const answered = values('sec-websocket-extensions').length > 0;
  must(answered === agreed.extensions.length > 0, '§4.1 every extension is one that was offered');
}

/** The values of a field, without white space around them. */
function fieldsOf(rawHeaders: readonly string[]): (name: string) => string[] {
  return (name) =>
    rawHeaders.flatMap((value, i) =>
      i % 2 === 1 && rawHeaders[i - 1]!.toLowerCase() === name ? [value.replace(/^[ \t]+|[ \t]+$/g, '')] : [],
    );
}

function elementsOf(values: readonly string[]): string[] {
  return values
    .flatMap((value) => value.split(','))
    .map((element) => element.replace(/[ \t]/g, '').toLowerCase());
}

/** Where the lines of a head begin. */
function linesOf(input: Buffer): number[] {
  const places: number[] = [1];
  for (let at = input.indexOf('\r\n'); at >= 0; at = input.indexOf('\r\n', at + 2)) places.push(at);
  return places;
}
