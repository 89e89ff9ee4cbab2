/**
 * RFC 6455 §3, RFC 3986 §3.3: the path of a request, and patterns of paths.
 *
 *     pattern   = 1*( "/" segment )
 *     segment   = literal | ":" name        "/chat/:room"
 *
 *     request          "/chat/:room"        why
 *     /chat/a%20b      room: "a b"          segments are percent-decoded, each on its own
 *     /chat/a%2Fb      room: "a/b"          so that an encoded slash ends none
 *     /%63hat/a        room: "a"            literals are compared decoded
 *     /chat/           no match             a name never matches an empty segment
 *     /chat/a/         no match             one more segment, which is empty
 *     /chat/%ff        malformed            not UTF-8
 */

/** Values of the names of a pattern; without a prototype. */
export type PathParams = Readonly<Record<string, string>>;

type Segment = { readonly name: string } | { readonly literal: string };

/** A pattern of paths. */
export class PathPattern {
  /** The pattern with its names left out: patterns of one shape match the same paths. */
  readonly shape: string;
  /**
   * Orders patterns: where two match one path, the first by this key has a literal where the other has a
   * name.
   */
  readonly order: string;
  readonly #text: string;
  readonly #segments: readonly Segment[];

  /**
   * Throws a TypeError for what is no path of a URL, and for a name that is no identifier, or there twice.
   */
  constructor(pattern: string) {
    const visible =
      typeof pattern === 'string' &&
      [...pattern].every((c) => c > ' ' && c < '\x7f' && c !== '?' && c !== '#');
    const literals = visible && pattern.startsWith('/') ? decodePath(pattern) : null;
    if (literals === null) {
      throw new TypeError(`Option path is not the path of a URL: ${JSON.stringify(pattern)}`);
    }
    const encoded = pattern.split('/').slice(1);
    const names = encoded.filter((segment) => segment.startsWith(':')).map((segment) => segment.slice(1));
    for (const [index, name] of names.entries()) {
      if (!isIdentifier(name)) throw new TypeError(`Name in option path is not an identifier: ${name}`);
      if (names.indexOf(name) !== index) throw new TypeError(`Name is twice in option path: ${name}`);
    }
    this.#text = pattern;
    this.#segments = encoded.map((segment, index) =>
      segment.startsWith(':') ? { name: segment.slice(1) } : { literal: literals[index]! },
    );
    this.shape = JSON.stringify(this.#segments.map((segment) => ('name' in segment ? 0 : segment.literal)));
    this.order = this.#segments.map((segment) => ('name' in segment ? '1' : '0')).join('');
  }

  toString(): string {
    return this.#text;
  }

  /** The values of the names when the decoded path matches, else null. */
  match(path: readonly string[]): PathParams | null {
    const segments = this.#segments;
    if (path.length !== segments.length) return null;
    const params: Record<string, string> = Object.create(null);
    for (const [index, segment] of segments.entries()) {
      const value = path[index]!;
      if ('literal' in segment) {
        if (segment.literal !== value) return null;
      } else if (value === '') return null;
      else params[segment.name] = value;
    }
    return params;
  }
}

/** The segments of a path that begins with a slash, percent-decoded; null when one is malformed. */
export function decodePath(path: string): string[] | null {
  const segments = path.split('/').slice(1);
  if (!path.includes('%')) return segments;
  try {
    return segments.map(decodeURIComponent);
  } catch {
    return null;
  }
}

/**
 * The path of a request target in origin-form or absolute-form, without its query; `null` when it has none.
 */
export function pathOf(target: string): string | null {
  const query = target.indexOf('?');
  const path = query < 0 ? target : target.slice(0, query);
  if (path.startsWith('/')) return path;
  const scheme = path.indexOf('://');
  if (scheme < 1) return null;
  const start = path.indexOf('/', scheme + 3);
  return start < 0 ? '/' : path.slice(start);
}

/** ASCII letters, digits and underscores, no digit first. */
function isIdentifier(text: string): boolean {
  if (text === '') return false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    const letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c === '_';
    if (!letter && (i === 0 || c < '0' || c > '9')) return false;
  }
  return true;
}
