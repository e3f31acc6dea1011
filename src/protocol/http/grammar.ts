/** The few character rules of RFC 9110 §5 that both readers and writers must agree on. */

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// Field values: visible ASCII, space, tab and obs-text. CR, LF and NUL would split or truncate a message.
// oxlint-disable-next-line no-control-regex -- these control characters are the point
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const HOST = /^(?:\[[0-9A-Fa-f:.]+(?:%25[\w.~-]+)?\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(?::\d{0,5})?$/;

export function isToken(text: string): boolean {
  return TOKEN.test(text);
}

export function isFieldValue(text: string): boolean {
  return FIELD_VALUE.test(text);
}

/** A `Host` value: a registered name, IPv4 or bracketed IPv6 address, with an optional port (RFC 9110 §7.2). */
export function isHost(text: string): boolean {
  return HOST.test(text);
}

/** Without the spaces and tabs around it (OWS). `String.trim` takes more away: U+00A0, which is a byte of obs-text. */
export function trimWhitespace(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
