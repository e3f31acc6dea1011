import { isDeeperThan, Fields, FieldProblem, checkContent, MAX_DEPTH, MESSAGE_TYPES } from './json-fields.js';
import { readJsonHeaders } from './json-headers.js';
import type { HttpResponseFormat, HttpStreamFormat, PublishItem, WsMessageFormat } from './types.js';

export interface PublishLimits {
  /** Items in one body. */
  readonly maxItems: number;
  /** Bytes of one content or body, base64 decoded. */
  readonly maxContentBytes: number;
}

export interface PublishProblem {
  /** In the words of Pushpin, which clients may know. */
  readonly line: string;
  /** `items[2].formats.ws-message.code`; empty: the body itself. */
  readonly place: string;
  /** What would be accepted there. */
  readonly accepted: string;
}

export type PublishReading =
  | { readonly ok: true; readonly items: readonly PublishItem[] }
  /** One problem for each item that has some, the first that it has; nothing of the body is to be published. */
  | { readonly ok: false; readonly problems: readonly PublishProblem[] };

/**
 * Reads the body of `POST /publish/`: `{"items": [item, …]}` (EPCP, as Pushpin has it). Formats stand in `formats` or,
 * as once, on the item itself; unknown ones are ignored. All or nothing: one bad item and none is published.
 */
export function readPublishBody(text: string, limits: PublishLimits): PublishReading {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    const at = /at position \d+/.exec(String(error))?.[0];
    return refused({ line: 'Body is not valid JSON.', place: at ?? '', accepted: '{"items": […]}' });
  }
  try {
    const items = itemsOf(body, limits);
    const read = items.map((item, i) => attempt(() => readItem(item, `items[${i}]`, limits.maxContentBytes)));
    const problems = read.filter((item) => item instanceof FieldProblem).map(problemOf);
    return problems.length > 0 ? { ok: false, problems } : { ok: true, items: read as PublishItem[] };
  } catch (error) {
    if (error instanceof FieldProblem) return refused(problemOf(error));
    throw error;
  }
}

/**
 * The problems as the text of a 400: Pushpin’s line of the first one, then a line for each with its place. At most ten
 * are told; how many more there are is told too.
 */
export function publishProblemText(problems: readonly PublishProblem[]): string {
  const told = problems.slice(0, MAX_TOLD).map(({ line, place, accepted }) => {
    const words = line.replace(/^Invalid format: |\.$/g, '');
    return `${place === '' ? 'body' : place}: ${words}; expected ${accepted}`;
  });
  if (problems.length > MAX_TOLD) told.push(`and ${problems.length - MAX_TOLD} more`);
  return [problems[0]?.line ?? '', ...told, ''].join('\n');
}

const MAX_TOLD = 10;

/** Reads one item; throws a `FieldProblem`. */
export function readItem(value: unknown, place: string, maxContentBytes: number): PublishItem {
  const item = new Fields(value, 'publish item object', place);
  const channel = item.name('channel');
  const id = item.text('id');
  const prevId = item.text('prev-id');
  const formats = formatsOf(item);
  const read = new FormatReader(maxContentBytes);
  const response = formats.part('http-response', "'http-response'");
  const stream = formats.part('http-stream', "'http-stream'");
  const message = formats.part('ws-message', "'ws-message'");
  // Only counted by others; here it must just make sense.
  item.integer('size', 0, Number.MAX_SAFE_INTEGER);
  return {
    channel,
    id,
    prevId,
    noSeq: item.flag('no-seq'),
    meta: item.map('meta'),
    wsMessage: message && read.wsMessage(message),
    httpStream: stream && read.httpStream(stream),
    httpResponse: response && read.httpResponse(response),
  };
}

function itemsOf(body: unknown, { maxItems }: PublishLimits): readonly unknown[] {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new FieldProblem('', '', '{"items": […]}');
  }
  const fields = new Fields(body, 'object', '');
  const items = fields.list('items');
  if (items === undefined) throw fields.missing("'items'", '', '{"items": […]}');
  if (items.length > maxItems)
    throw fields.invalid('items', `at most ${maxItems} items, not ${items.length}`);
  return items;
}

/** The member `formats`, or the item itself where that is absent and a known format stands on it. */
function formatsOf(item: Fields): Fields {
  const formats = item.object('formats', 'formats');
  const none = formats === undefined ? !FORMATS.some((name) => item.has(name)) : formats.isEmpty();
  if (none) {
    throw new FieldProblem(
      'no formats specified',
      item.placeOf('formats'),
      `an object with ${FORMATS.join(', ')}`,
    );
  }
  return formats ?? item;
}

const FORMATS = ['http-response', 'http-stream', 'ws-message'] as const;

/** All that any transport knows; one that its transport does not know means nothing there, and is no error. */
const ACTIONS = ['send', 'hint', 'close', 'refresh'] as const;

class FormatReader {
  readonly #maxContentBytes: number;

  constructor(maxContentBytes: number) {
    this.#maxContentBytes = maxContentBytes;
  }

  wsMessage(fields: Fields): WsMessageFormat | undefined {
    const action = fields.choice('action', ACTIONS) ?? 'send';
    if (action === 'refresh') return { action };
    if (action === 'hint') return undefined;
    if (action === 'close') {
      return { action, code: fields.integer('code', 0, 65_535), reason: fields.text('reason') ?? '' };
    }
    const given = fields.choice('type', MESSAGE_TYPES);
    const contentFilters = fields.texts('content-filters');
    const isControl = given === 'ping' || given === 'pong';
    const bytes = this.#bytes(fields, 'content');
    if (bytes === undefined && !isControl) throw noContent(fields);
    const type = given ?? (bytes!.fromBase64 ? 'binary' : 'text');
    const content = bytes?.content ?? Buffer.alloc(0);
    checkContent(fields, type, content);
    return { action, type, content, contentFilters };
  }

  httpStream(fields: Fields): HttpStreamFormat | undefined {
    const action = fields.choice('action', ACTIONS) ?? 'send';
    if (action === 'hint' || action === 'close') return { action };
    if (action === 'refresh') return undefined;
    const contentFilters = fields.texts('content-filters');
    const bytes = this.#bytes(fields, 'content');
    if (bytes === undefined) throw noContent(fields);
    return { action, content: bytes.content, contentFilters };
  }

  httpResponse(fields: Fields): HttpResponseFormat | undefined {
    const action = fields.choice('action', ACTIONS) ?? 'send';
    if (action === 'hint') return { action };
    if (action !== 'send') return undefined;
    const code = fields.integer('code', 200, 599) ?? 200;
    const { reason, headers } = readJsonHeaders(fields);
    const contentFilters = fields.texts('content-filters');
    return { action, code, reason, headers, body: this.#body(fields), contentFilters };
  }

  #body(fields: Fields): { readonly bytes: Buffer } | { readonly patch: readonly unknown[] } {
    const bytes = this.#bytes(fields, 'body');
    if (bytes !== undefined) return { bytes: bytes.content };
    const patch = fields.list('body-patch');
    if (patch === undefined) {
      throw fields.missing("'body', 'body-bin', or 'body-patch'", fields.place, 'one of them');
    }
    if (isDeeperThan(patch, MAX_DEPTH))
      throw fields.invalid('body-patch', `at most ${MAX_DEPTH} levels of nesting`);
    return { patch };
  }

  #bytes(
    fields: Fields,
    key: string,
  ): { readonly content: Buffer; readonly fromBase64: boolean } | undefined {
    const bytes = fields.bytes(key);
    const max = this.#maxContentBytes;
    if (bytes !== undefined && bytes.content.length > max) {
      throw fields.invalid(
        bytes.fromBase64 ? `${key}-bin` : key,
        `at most ${max} bytes, not ${bytes.content.length}`,
      );
    }
    return bytes;
  }
}

function noContent(fields: Fields): FieldProblem {
  return fields.missing("'content' or 'content-bin'", fields.place, 'one of them');
}

function attempt<T>(read: () => T): T | FieldProblem {
  try {
    return read();
  } catch (error) {
    if (error instanceof FieldProblem) return error;
    throw error;
  }
}

function problemOf({ message, place, accepted }: FieldProblem): PublishProblem {
  return { line: message === '' ? 'Invalid format.' : `Invalid format: ${message}`, place, accepted };
}

function refused(problem: PublishProblem): PublishReading {
  return { ok: false, problems: [problem] };
}
