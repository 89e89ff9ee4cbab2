/**
 * RFC 6455 §4.1, §4.2 and §9.1 with RFC 9110 §5: HTTP header fields, as far as the opening handshake needs
 * them. Every scanner walks its input once; no regular expression meets what a peer sent.
 */

import type { ExtensionParameters } from '../protocol/extension.js';

/** Header fields that an application gives; a field whose value is `undefined` is left out. */
export type HeaderRecord = Readonly<Record<string, string | number | readonly string[] | undefined>>;

/** One element of `Sec-WebSocket-Extensions`, RFC 6455 §9.1. */
export interface ExtensionElement {
  readonly name: string;
  readonly parameters: ExtensionParameters;
}

/**
 * Header fields of a received message: names without regard to letter case, duplicates kept. They are looked
 * for where they are, which for the few that a handshake needs is less work than an index of all.
 */
export class Fields {
  readonly #raw: readonly string[];

  /** Takes a flat list as `rawHeaders` of `node:http`: name, value, name, value ... */
  constructor(raw: readonly string[]) {
    this.#raw = raw;
  }

  /** Every value of a field in the order received; empty when it is absent. `name` is in lower case. */
  all(name: string): readonly string[] {
    const values: string[] = [];
    for (let i = this.#find(name, 0); i >= 0; i = this.#find(name, i + 2)) values.push(this.#value(i));
    return values;
  }

  /**
   * The value of a field that must not be repeated: `undefined` when it is absent, or there more than once.
   */
  single(name: string): string | undefined {
    const i = this.#find(name, 0);
    return i < 0 || this.#find(name, i + 2) >= 0 ? undefined : this.#value(i);
  }

  /** Whether a field is there more than once. */
  repeats(name: string): boolean {
    const i = this.#find(name, 0);
    return i >= 0 && this.#find(name, i + 2) >= 0;
  }

  /**
   * The value of a list field: repeated fields are one list (RFC 9110 §5.3). `undefined` when it is absent.
   */
  list(name: string): string | undefined {
    return this.#find(name, 0) < 0 ? undefined : this.all(name).join(', ');
  }

  /** Whether a list field such as `Connection` has an element, given in lower case (RFC 9110 §5.6.1). */
  includes(name: string, element: string): boolean {
    return this.all(name).some((value) => {
      for (let from = 0; from <= value.length; ) {
        const comma = value.indexOf(',', from);
        const end = comma < 0 ? value.length : comma;
        if (trimSpace(value.slice(from, end)).toLowerCase() === element) return true;
        from = end + 1;
      }
      return false;
    });
  }

  /**
   * A plain record without a prototype; repeated fields are joined, except `set-cookie`, which is an array.
   */
  toRecord(): Record<string, string | string[]> {
    const record: Record<string, string | string[]> = Object.create(null);
    const cookies: string[] = [];
    for (let i = 0; i + 1 < this.#raw.length; i += 2) {
      const name = this.#raw[i]!.toLowerCase();
      const value = this.#value(i);
      if (name === 'set-cookie') cookies.push(value);
      else record[name] = name in record ? `${record[name]}, ${value}` : value;
    }
    if (cookies.length > 0) record['set-cookie'] = cookies;
    return record;
  }

  /** The place of a field's name, at `from` or after it; -1 when there is none. */
  #find(name: string, from: number): number {
    for (let i = from; i + 1 < this.#raw.length; i += 2) {
      const other = this.#raw[i]!;
      if (other.length === name.length && other.toLowerCase() === name) return i;
    }
    return -1;
  }

  #value(at: number): string {
    return trimSpace(this.#raw[at + 1]!);
  }
}

/** Whether `text` is a token, RFC 9110 §5.6.2. */
export function isToken(text: string): boolean {
  return text.length > 0 && tokenEnd(text, 0) === text.length;
}

/**
 * The elements of a `1#token` list, or `null` when one is empty or not a token. Stricter than RFC 9110
 * §5.6.1.2, which lets a recipient ignore empty elements: RFC 6455 §4.1 has subprotocols be non-empty
 * strings.
 */
export function parseTokenList(value: string): string[] | null {
  const tokens = value.split(',').map(trimSpace);
  return tokens.every(isToken) ? tokens : null;
}

/**
 * Parses `Sec-WebSocket-Extensions`; `null` when it does not follow the grammar of RFC 6455 §9.1, where white
 * space may stand between any two words (the "implied *LWS rule"), and empty elements of the list are
 * ignored.
 *
 *     extension-list  = 1#extension
 *     extension       = token *( ";" token [ "=" ( token | quoted-string ) ] )
 */
export function parseExtensions(value: string): ExtensionElement[] | null {
  const elements: ExtensionElement[] = [];
  let at = skipSpace(value, 0);
  const word = (): string | null => {
    const start = at;
    const end = tokenEnd(value, start);
    if (end === start) return null;
    at = skipSpace(value, end);
    return value.slice(start, end);
  };
  const accept = (character: string): boolean => {
    if (value[at] !== character) return false;
    at = skipSpace(value, at + 1);
    return true;
  };
  // §9.1: "When using the quoted-string syntax variant, the value after quoted-string unescaping MUST conform
  // to the 'token' ABNF."
  const quoted = (): string | null => {
    let content = '';
    for (let i = at + 1; i < value.length; i++) {
      if (value[i] === '"') {
        at = skipSpace(value, i + 1);
        return isToken(content) ? content : null;
      }
      if (value[i] === '\\') i++;
      content += value[i] ?? '';
    }
    return null;
  };

  while (at < value.length) {
    if (accept(',')) continue;
    const name = word();
    if (name === null) return null;
    const parameters: [string, string | true][] = [];
    while (accept(';')) {
      const parameter = word();
      if (parameter === null) return null;
      let argument: string | true | null = true;
      if (accept('=')) argument = value[at] === '"' ? quoted() : word();
      if (argument === null) return null;
      parameters.push([parameter, argument]);
    }
    if (at < value.length && !accept(',')) return null;
    elements.push({ name, parameters });
  }
  return elements.length > 0 ? elements : null;
}

/** Writes `Sec-WebSocket-Extensions`, RFC 6455 §9.1; throws a TypeError for what is not a token. */
export function formatExtensions(elements: readonly ExtensionElement[]): string {
  const token = (text: string): string => {
    if (!isToken(text)) throw new TypeError(`Invalid token in an extension: ${JSON.stringify(text)}`);
    return text;
  };
  return elements
    .map(({ name, parameters }) =>
      [
        token(name),
        ...parameters.map(([key, value]) => (value === true ? token(key) : `${token(key)}=${token(value)}`)),
      ].join('; '),
    )
    .join(', ');
}

/**
 * Names and values of an application's header fields. Throws a TypeError for a name that is no token, and for
 * a value that would start another field or end the head: CR, LF, NUL, and all that is not one byte.
 */
export function checkHeaders(headers: HeaderRecord): [name: string, value: string][] {
  // An async function gives a promise, which has no fields
  if (typeof headers !== 'object' || headers === null || 'then' in headers)
    throw new TypeError(`Expected a record of header fields: ${String(headers)}`);
  const fields: [string, string][] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) continue;
    checkFieldName(name);
    for (const one of Array.isArray(value) ? value : [value]) {
      fields.push([name, checkFieldValue(name, typeof one === 'number' ? String(one) : one)]);
    }
  }
  return fields;
}

/**
 * As {@link checkHeaders}; also throws a TypeError for a field that the opening handshake itself sets (§4).
 */
export function checkExtraHeaders(headers: HeaderRecord): [name: string, value: string][] {
  const fields = checkHeaders(headers);
  for (const [name] of fields) {
    const lower = name.toLowerCase();
    if (isFraming(lower) || lower === 'upgrade' || lower.startsWith('sec-websocket-')) {
      throw new TypeError(`Header field is set by the handshake itself: ${name}`);
    }
  }
  return fields;
}

/**
 * Whether a field, its name in lower case, says where a message ends, or what becomes of the connection
 * after it.
 */
export function isFraming(name: string): boolean {
  return name === 'connection' || name === 'content-length' || name === 'transfer-encoding';
}

/** Throws a TypeError when `name` is not a field name, RFC 9110 §5.1. */
export function checkFieldName(name: string): void {
  if (!isToken(name)) throw new TypeError(`Invalid header field name: ${JSON.stringify(name)}`);
}

/** Returns `value`; throws a TypeError when it cannot be the value of a header field, RFC 9110 §5.5. */
export function checkFieldValue(name: string, value: string): string {
  if (typeof value !== 'string')
    throw new TypeError(`Header field ${name} is not a string: ${String(value)}`);
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    // Over 0xff counts too: written as one byte, U+010D would become CR.
    if ((code < 0x20 && code !== 0x09) || code === 0x7f || code > 0xff) {
      throw new TypeError(`Invalid character in header field ${name}: ${JSON.stringify(value)}`);
    }
  }
  return value;
}

/** `text` without optional white space (SP and HTAB only) at both ends, RFC 9110 §5.6.3. */
function trimSpace(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace(text.charCodeAt(end - 1))) end--;
  return text.slice(Math.min(skipSpace(text, 0), end), end);
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (isSpace(text.charCodeAt(at))) at++;
  return at;
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** RFC 9110 §5.6.2: the characters of a token, 1 for each. */
const tokenCharacters = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
  tokenCharacters[character.charCodeAt(0)] = 1;
}

function tokenEnd(text: string, from: number): number {
  let at = from;
  while (tokenCharacters[text.charCodeAt(at)] === 1) at++;
  return at;
}
