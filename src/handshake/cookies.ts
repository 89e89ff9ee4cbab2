/**
 * RFC 6265 §4.2, §5.4: the cookies of a request.
 *
 *     cookie-string = cookie-pair *( ";" SP cookie-pair )
 *     cookie-pair   = name "=" value
 *
 * Servers know only what they have set, so that nothing is refused: a part without "=" is left out, quotes
 * around a value are removed, and percent-encoding is undone where it is well-formed UTF-8. Of one name the
 * first value counts, which is the one with the longest path. Each part is looked at once.
 */
export function parseCookies(header: string): Record<string, string> {
  const cookies: Record<string, string> = Object.create(null);
  for (const part of header.split(';')) {
    const equals = part.indexOf('=');
    if (equals < 0) continue;
    const name = part.slice(0, equals).trim();
    if (name !== '' && !(name in cookies)) cookies[name] = decodeValue(part.slice(equals + 1).trim());
  }
  return cookies;
}

function decodeValue(text: string): string {
  const quoted = text.length > 1 && text.startsWith('"') && text.endsWith('"');
  const value = quoted ? text.slice(1, -1) : text;
  if (!value.includes('%')) return value;
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
