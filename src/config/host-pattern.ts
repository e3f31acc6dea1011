import { isIPv4 } from 'node:net';
import { domainToASCII } from 'node:url';
import { isHost } from '../protocol/http/grammar.js';
import { normalizeHost } from '../protocol/http/normalize.js';
import { right, show, wrong, type Parsed } from './leaf.js';

/** Hosts a route takes: one name, or every name below one. */
export interface HostPattern {
  /** As written. */
  readonly text: string;
  /** `below`: names that end in `.name`, at any depth, not `name` itself. */
  readonly kind: 'exactly' | 'below';
  /** Lower case, ASCII, without trailing dot; IPv6 addresses in brackets. */
  readonly name: string;
}

const ACCEPTED = 'expected a host name such as chat.example.com or "*.example.com"';

/** Reads `chat.example.com`, `*.example.com`, `192.0.2.1` or `[2001:db8::1]`. */
export function parseHostPattern(text: string): Parsed<HostPattern> {
  if (text === '*') return wrong('leave `host` out to take every host, found "*"');
  if (/^https?:\/\//i.test(text) && URL.canParse(text)) {
    return wrong(`${ACCEPTED}, found ${show(text)}`, new URL(text).hostname);
  }
  const wildcard = text.startsWith('*.');
  const name = asciiName(wildcard ? text.slice(2) : text);
  if (name === undefined) return wrong(`${ACCEPTED}, found ${show(text)}`);
  const normal = normalizeHost(name);
  if (/:\d*$/.test(name)) {
    return wrong(
      `hosts are compared without their port, found ${show(text)}`,
      (wildcard ? '*.' : '') + normal,
    );
  }
  if (wildcard && (normal.startsWith('[') || isIPv4(normal))) {
    return wrong(`an address has no names below it, found ${show(text)}`);
  }
  return right({ text, kind: wildcard ? 'below' : 'exactly', name: normal });
}

/** Whether every host that `b` takes is one that `a` takes. */
export function hostCovers(a: HostPattern, b: HostPattern): boolean {
  if (a.kind === 'exactly') return b.kind === 'exactly' && a.name === b.name;
  return b.name.endsWith(`.${a.name}`) || (b.kind === 'below' && b.name === a.name);
}

function asciiName(written: string): string | undefined {
  // oxlint-disable-next-line no-control-regex -- names beyond ASCII go over the wire as punycode
  const ascii = /[^\x00-\x7f]/.test(written) ? domainToASCII(written) : written;
  const grammatical = isHost(ascii) && !/[*%]|^\.|\.\./.test(ascii);
  return grammatical ? ascii : undefined;
}
