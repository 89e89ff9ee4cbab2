/**
 * What a server knows of a request beside its header: parsed on first use, as most requests need none of it.
 */

import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { parseCookies } from '../handshake/cookies.js';
import { Fields } from '../handshake/fields.js';
import { isHost, ownOrigins } from '../handshake/origin.js';
import { type PathParams, pathOf } from '../handshake/path.js';

/**
 * What the last URL was made of, and the URL; see {@link RequestContext.href}. Connections share it: all are strings,
 * and nothing else goes into them than what the request says.
 */
const last = { host: '', target: '', secure: false, href: '' };

const noParams: PathParams = Object.freeze(Object.create(null));

/** URL, path parameters and cookies of an upgrade request; every part is parsed when it is first used. */
export class RequestContext {
  /** The values of the names in the option `path`, percent-decoded; without a prototype. */
  readonly params: PathParams;
  readonly #request: IncomingMessage;
  readonly #trustProxy: boolean;
  #url: URL | undefined;
  #cookies: Readonly<Record<string, string>> | undefined;

  /** `trustProxy` is the option of this name. */
  constructor(request: IncomingMessage, trustProxy: boolean, params: PathParams = noParams) {
    this.#request = request;
    this.#trustProxy = trustProxy;
    this.params = params;
  }

  /**
   * The URL that was asked for, `ws:` or `wss:`. Its host is what the peer has sent in `Host` (`localhost`
   * where that is no host), so that it says nothing about who the peer is.
   */
  get url(): URL {
    this.#url ??= this.#parse(this.#text(new Fields(this.#request.rawHeaders).single('host') ?? ''));
    return this.#url;
  }

  /**
   * @internal The text of {@link url} for a request with this field `Host`, without what the application may have
   * changed in that. Most connections of a server have the same one: it is parsed once, and they share the string.
   */
  href(host: string): string {
    if (this.#trustProxy) return this.#parse(this.#text(host)).href;
    const { url: target = '/' } = this.#request;
    const secure = isSecure(this.#request);
    if (host !== last.host || target !== last.target || secure !== last.secure) {
      last.href = this.#parse(this.#text(host)).href;
      last.host = host;
      last.target = target;
      last.secure = secure;
    }
    return last.href;
  }

  /** The cookies, percent-decoded where that is possible; of one name the first. Without a prototype. */
  get cookies(): Readonly<Record<string, string>> {
    this.#cookies ??= parseCookies(new Fields(this.#request.rawHeaders).all('cookie').join('; '));
    return this.#cookies;
  }

  /** The URL, unless its host is none. */
  #text(field: string): string {
    const [origin = ''] = ownOriginsOf(this.#request, field, this.#trustProxy);
    const host = origin.slice(origin.indexOf('://') + 3);
    return `${origin.startsWith('https') ? 'wss' : 'ws'}://${isHost(host) ? host : 'localhost'}${this.#resource}`;
  }

  #parse(text: string): URL {
    // A port may be out of range, and much else be no host
    return URL.canParse(text) ? new URL(text) : new URL(`ws://localhost${this.#resource}`);
  }

  get #resource(): string {
    return resourceOf(this.#request.url ?? '/');
  }
}

/**
 * The origins that the server may have, by a request; see {@link ownOrigins}. `X-Forwarded-Proto` and
 * `X-Forwarded-Host` count when a proxy is trusted.
 */
export function ownOriginsOf(request: IncomingMessage, host: string, trustProxy: boolean): readonly string[] {
  const secure = isSecure(request);
  if (!trustProxy) return ownOrigins(host, secure);
  const value = (name: string): string | undefined => request.headers[name]?.toString();
  return ownOrigins(host, secure, { proto: value('x-forwarded-proto'), host: value('x-forwarded-host') });
}

/** Whether it came over TLS. Some runtimes have the property on every socket. */
function isSecure(request: IncomingMessage): boolean {
  return (request.socket as TLSSocket).encrypted === true;
}

/** Path and query of a request target. Not resolved against a base: "//host/path" would name another host. */
function resourceOf(target: string): string {
  if (target.startsWith('/')) return target;
  const path = pathOf(target) ?? '/';
  const query = target.indexOf('?');
  return query < 0 ? path : path + target.slice(query);
}
