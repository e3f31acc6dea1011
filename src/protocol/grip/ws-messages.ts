import type { HeaderList } from '../http/header-list.js';
import { parameter, readParameterized, splitElements } from './parameters.js';

/** What is offered to a backend in `Sec-WebSocket-Extensions`, and what it answers to have GRIP on a connection. */
export const GRIP_EXTENSION = 'grip';

export type GripExtension =
  /** Before each message that is for the client; may be empty. */
  | { readonly kind: 'on'; readonly messagePrefix: Buffer }
  /** Not agreed to: every message is for the client as it is, `c:` and `m:` too. */
  | { readonly kind: 'off' };

/** `Sec-WebSocket-Extensions` of a backend’s answer to a handshake: `grip`, perhaps `; message-prefix="…"`. */
export function readGripExtension(headers: HeaderList): GripExtension {
  const elements = splitElements(headers.all('sec-websocket-extensions')) ?? [];
  for (const element of elements) {
    const extension = readParameterized(element);
    if (extension?.value.toLowerCase() !== GRIP_EXTENSION) continue;
    const prefix = parameter(extension.parameters, 'message-prefix');
    return { kind: 'on', messagePrefix: prefix === undefined ? DEFAULT_PREFIX : Buffer.from(prefix) };
  }
  return { kind: 'off' };
}

export type SortedMessage =
  | { readonly kind: 'control'; readonly json: string }
  /** For the client, its prefix taken off; the same memory, not a copy. */
  | { readonly kind: 'message'; readonly content: Buffer }
  /** Has neither prefix: for nobody. */
  | { readonly kind: 'neither' };

/**
 * Whom a whole message from the backend is for, on a connection with GRIP. Text behind `c:` is always for the gateway,
 * even where the message prefix is empty; binary never is.
 */
export function sortMessage(type: 'text' | 'binary', content: Buffer, messagePrefix: Buffer): SortedMessage {
  if (type === 'text' && startsWith(content, CONTROL_PREFIX)) {
    return { kind: 'control', json: content.toString('utf8', CONTROL_PREFIX.length) };
  }
  if (!startsWith(content, messagePrefix)) return { kind: 'neither' };
  return { kind: 'message', content: content.subarray(messagePrefix.length) };
}

const DEFAULT_PREFIX = Buffer.from('m:');
const CONTROL_PREFIX = Buffer.from('c:');

function startsWith(content: Buffer, prefix: Buffer): boolean {
  return content.length >= prefix.length && content.subarray(0, prefix.length).equals(prefix);
}
