import { HeaderList } from '../http/header-list.js';
import { type JsonHeaders, toWire } from './json-headers.js';

/**
 * A copy that a client may see: nothing of GRIP, and where `exposed` names any, only those (`Grip-Expose-Headers`).
 */
export function clientHeaders(headers: HeaderList, exposed: readonly string[]): HeaderList {
  const shown = new Set(exposed.map((name) => name.toLowerCase()));
  const copy = headers.clone();
  copy.deleteWhere((name) => name.startsWith('grip-') || (shown.size > 0 && !shown.has(name)));
  return copy;
}

/** Headers that someone wrote in JSON, without those that say where a message ends, which is not theirs to say. */
export function headersFromJson(headers: JsonHeaders): HeaderList {
  const list = new HeaderList();
  for (const [name, value] of headers) list.append(name, toWire(value));
  list.deleteWhere((name) => FRAMING.has(name));
  return list;
}

const FRAMING: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
