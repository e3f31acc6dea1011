import { trimWhitespace } from '../http/grammar.js';
import type { HeaderList } from '../http/header-list.js';
import { removeHopByHop } from '../http/hop-by-hop.js';
import { quote } from '../http/quote.js';
import { type Acceptance, EVENTS_MEDIA_TYPE } from './types.js';

/** Whether a body holds events: by its media type, whatever parameters (`; charset=utf-8`) follow. */
export function isEvents(fields: HeaderList): boolean {
  const types = fields.all('content-type');
  return (
    types.length === 1 && trimWhitespace(types[0]!.split(';', 1)[0]!).toLowerCase() === EVENTS_MEDIA_TYPE
  );
}

/** The coding of a body that nobody asked to be coded, or undefined. */
export function contentCoding(fields: HeaderList): string | undefined {
  return fields.elements('content-encoding').find((coding) => coding.toLowerCase() !== 'identity');
}

/**
 * `Keep-Alive-Interval` in ms. Undefined: not said, so it stays as it is. `off`: 0, or no number of seconds.
 *
 * @param minMs what is shorter is lengthened to this
 */
export function keepAliveInterval(fields: HeaderList, minMs: number): number | 'off' | undefined {
  const text = fields.get('keep-alive-interval');
  if (text === undefined) return undefined;
  const seconds = wholeNumber(text);
  if (seconds === undefined || seconds === 0) return 'off';
  return Math.max(seconds * 1000, minMs);
}

/** `Content-Bytes-Accepted`; undefined: not said, so all are. */
export function contentBytesAccepted(fields: HeaderList): number | 'invalid' | undefined {
  const text = fields.get('content-bytes-accepted');
  return text === undefined ? undefined : (wholeNumber(text) ?? 'invalid');
}

export type Grant =
  | { readonly acceptance: Acceptance; readonly problem?: undefined }
  | { readonly acceptance?: undefined; readonly problem: string };

/**
 * What an accepting answer grants. The subprotocol must be one of those offered, as clients fail otherwise (RFC 6455
 * §4.1); GRIP is on only where it was offered and taken.
 */
export function readAcceptance(
  fields: HeaderList,
  offeredSubprotocols: readonly string[],
  offersGrip: boolean,
): Grant {
  const chosen = fields.all('sec-websocket-protocol').map(trimWhitespace);
  const subprotocol = chosen.join(', ') === '' ? undefined : chosen.join(', ');
  if (subprotocol !== undefined && (chosen.length > 1 || !offeredSubprotocols.includes(subprotocol))) {
    const offer = offeredSubprotocols.length === 0 ? 'none' : quote(offeredSubprotocols.join(', '));
    return { problem: `the subprotocol ${quote(subprotocol)} was chosen; offered: ${offer}` };
  }
  const grip = offersGrip ? gripExtension(fields) : undefined;
  return { acceptance: { subprotocol, fields: acceptanceFields(fields), grip } };
}

/** The fields of a refusal that the client gets with it; the body's length is for who writes it. */
export function refusalFields(fields: HeaderList): HeaderList {
  return forClient(fields, (name) => name === 'content-length' || isOfHandshake(name));
}

/** What `Sec-WebSocket-Extensions` says of GRIP: the prefix of messages for the client, or undefined without GRIP. */
function gripExtension(fields: HeaderList): { readonly messagePrefix: Buffer } | undefined {
  for (const value of fields.all('sec-websocket-extensions')) {
    for (const extension of split(value, ',')) {
      const [name, ...parameters] = split(extension, ';').map(trimWhitespace);
      if (name!.toLowerCase() !== 'grip') continue;
      const prefix = parameters.map(readParameter).find((parameter) => parameter.name === 'message-prefix');
      return { messagePrefix: Buffer.from(prefix?.value ?? 'm:', 'latin1') };
    }
  }
  return undefined;
}

/** The fields of an accepting answer that the client gets with its 101. */
function acceptanceFields(fields: HeaderList): HeaderList {
  return forClient(fields, (name) => isOfBody(name) || isOfHandshake(name));
}

function forClient(fields: HeaderList, isOurs: (lowerName: string) => boolean): HeaderList {
  const kept = fields.clone();
  removeHopByHop(kept);
  kept.deleteWhere((name) => isBetweenBackendAndGateway(name) || isOurs(name));
  return kept;
}

function isBetweenBackendAndGateway(name: string): boolean {
  if (name.startsWith(PREFIX_META) || name.startsWith('grip-')) return true;
  return name === 'keep-alive-interval' || name === 'content-bytes-accepted';
}

/** A 101 has none. */
function isOfBody(name: string): boolean {
  return name === 'content-length' || name === 'content-type' || name === 'content-encoding';
}

/** These the client’s own handshake decides. */
function isOfHandshake(name: string): boolean {
  if (name.startsWith('sec-websocket-') || name.startsWith('websocket-')) return true;
  return name === 'te' || name === 'trailer' || name === 'alt-svc';
}

const PREFIX_META = 'set-meta-';

function wholeNumber(text: string): number | undefined {
  const trimmed = trimWhitespace(text);
  return /^\d{1,15}$/.test(trimmed) ? Number(trimmed) : undefined;
}

function readParameter(text: string): { name: string; value: string } {
  const equals = text.indexOf('=');
  if (equals === -1) return { name: text.toLowerCase(), value: '' };
  const value = trimWhitespace(text.slice(equals + 1));
  const quoted = /^"(.*)"$/s.exec(value);
  return {
    name: trimWhitespace(text.slice(0, equals)).toLowerCase(),
    value: quoted === null ? value : quoted[1]!.replace(/\\(.)/gs, '$1'),
  };
}

/** At a separator that stands in no quoted string. */
function split(text: string, separator: ',' | ';'): string[] {
  const parts: string[] = [];
  let start = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (quoted && char === '\\') i++;
    else if (char === '"') quoted = !quoted;
    else if (char === separator && !quoted) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  parts.push(text.slice(start));
  return parts;
}
