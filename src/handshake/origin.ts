/**
 * RFC 6455 §4.2.2 item 4 and §10.2: which web pages may open a connection. Browsers let any page open a
 * WebSocket to any host, cookies included, and name the page in `Origin`; only the server checks it.
 */

/**
 * Which origins are allowed. Only a request with an `Origin` is checked: clients other than browsers send
 * none.
 *
 * - A list of hosts (`example.com`, `localhost:3000`; over http and https, and without a port only the
 *   default one), of origins (`https://example.com`), and of either for all subdomains (`*.example.com`,
 *   `https://*.example.com`; not `example.com` itself). The origin `null` of sandboxed pages must be listed
 *   as `null`.
 * - `'*'` for every page in the world.
 * - A function.
 *
 * The default is the server's own origin: scheme, host and port as in `Host`. A page over `https` of the same
 * host may also connect where the request itself came without TLS, as a proxy may have ended it; a page over
 * `http` may not where it came with TLS. For a proxy that changes `Host`, list the public origin, or use the
 * option `trustProxy`.
 */
export type OriginPolicy<Request> =
  | '*'
  | readonly string[]
  | ((origin: string, request: Request) => boolean | Promise<boolean>);

/**
 * `own` are the origins that the server itself may have, such as `https://example.com:8443`; see {@link
 * ownOrigins}.
 */
export type OriginCheck<Request> = (
  origin: string,
  own: readonly string[],
  request: Request,
) => boolean | Promise<boolean>;

/**
 * The origins that a server may have, the likeliest first, by the request and by what a trusted proxy has
 * added to it.
 *
 *     X-Forwarded-Proto   connection   origins
 *     http, ws            any          http://host
 *     https, wss          any          https://host
 *     none                TLS          https://host
 *     none                plain        http://host, or https://host where a proxy ended TLS
 *
 * `host` is X-Forwarded-Host, else Host. `forwarded` has the values of both fields; omit it unless a trusted
 * proxy overwrites them. Of a list the last element counts, which is that of the nearest proxy.
 */
export function ownOrigins(
  host: string,
  secure: boolean,
  forwarded: { readonly proto?: string | undefined; readonly host?: string | undefined } = {},
): readonly string[] {
  const outer = lastElement(forwarded.host) || host;
  const scheme = forwardedSchemes.get(lastElement(forwarded.proto).toLowerCase());
  if (scheme !== undefined) return [`${scheme}://${outer}`];
  return secure ? [`https://${outer}`] : [`http://${outer}`, `https://${outer}`];
}

/** Some proxies forward the scheme of the WebSocket URI. */
const forwardedSchemes: ReadonlyMap<string, string> = new Map([
  ['http', 'http'],
  ['ws', 'http'],
  ['https', 'https'],
  ['wss', 'https'],
]);

function lastElement(list = ''): string {
  return list.slice(list.lastIndexOf(',') + 1).trim();
}

/**
 * Makes a check of a policy; `undefined` asks for the same origin. Throws a TypeError for what is no policy.
 */
export function compileOrigins<Request>(policy: OriginPolicy<Request> | undefined): OriginCheck<Request> {
  if (policy === undefined) return (origin, own) => own.some((one) => isSameOrigin(origin, one));
  if (policy === '*') return () => true;
  if (typeof policy === 'function') return (origin, _own, request) => policy(origin, request);
  if (!Array.isArray(policy) || policy.some((entry) => typeof entry !== 'string')) {
    throw new TypeError(`Expected origins to be '*', an array of strings or a function: ${String(policy)}`);
  }
  const rules = policy.map(compileRule);
  return (origin) => {
    const parsed = parseOrigin(origin);
    return rules.some((rule) => rule(origin, parsed));
  };
}

/** §10.2: compared without regard to letter case, default ports left out; `null` is never the same. */
function isSameOrigin(origin: string, own: string): boolean {
  const a = parseOrigin(origin);
  const b = parseOrigin(own);
  return a !== null && b !== null && a.scheme === b.scheme && a.host === b.host;
}

/** A serialized origin (RFC 6454 §6.2) in lower case; `host` has the port, unless it is the default one. */
interface Origin {
  readonly scheme: string;
  readonly host: string;
}

function parseOrigin(text: string): Origin | null {
  const end = text.indexOf('://');
  const scheme = text.slice(0, Math.max(end, 0)).toLowerCase();
  const host = text.slice(end + 3).toLowerCase();
  if (scheme === '' || !isHost(host)) return null;
  return { scheme, host: withoutDefaultPort(host, scheme) };
}

function compileRule(entry: string): (origin: string, parsed: Origin | null) => boolean {
  if (entry === '*') return () => true;
  if (entry === 'null') return (origin) => origin === 'null';
  const rule = parseOrigin(String(entry).includes('://') ? entry : `*://${entry}`);
  if (rule === null) throw new TypeError(`Option origins has an entry that is no host or origin: ${entry}`);
  const { scheme } = rule;
  const pattern = rule.host.startsWith('*.');
  const wanted = pattern ? rule.host.slice(1) : rule.host;
  return (_origin, parsed) => {
    if (parsed === null) return false;
    const web = parsed.scheme === 'http' || parsed.scheme === 'https';
    if (scheme === '*' ? !web : scheme !== parsed.scheme) return false;
    const host = withoutDefaultPort(wanted, parsed.scheme);
    // The dot stays part of the suffix: `*.good.com` is neither `evilgood.com` nor `good.com.evil`.
    return pattern ? parsed.host.length > host.length && parsed.host.endsWith(host) : parsed.host === host;
  };
}

function withoutDefaultPort(host: string, scheme: string): string {
  if (scheme === 'http' && host.endsWith(':80')) return host.slice(0, -3);
  if (scheme === 'https' && host.endsWith(':443')) return host.slice(0, -4);
  return host;
}

/** Host and port, and nothing of a URL that could hide another host: no path, query, user or white space. */
export function isHost(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code <= 0x20 || code >= 0x7f || '/\\?#@,'.includes(text[i]!)) return false;
  }
  return text !== '';
}
