import { checkContent, Fields, FieldProblem, MESSAGE_TYPES, type MessageType } from './json-fields.js';
import { filterProblem } from './filters.js';

/** What a backend says to the gateway through a WebSocket, in a text message behind `c:`. */
export type ControlMessage =
  | {
      readonly type: 'subscribe';
      readonly channel: string;
      readonly filters: readonly string[];
      /** Ours: where the client was. Undefined: from here on. */
      readonly resume: WsResume | undefined;
    }
  | { readonly type: 'unsubscribe'; readonly channel: string }
  /** The backend leaves; the client stays, for what is published. */
  | { readonly type: 'detach' }
  | { readonly type: 'session'; readonly id: string | undefined }
  /** `value` undefined: forget it. */
  | { readonly type: 'set-meta'; readonly name: string; readonly value: string | undefined }
  /** `message` undefined: no longer. */
  | { readonly type: 'keep-alive'; readonly message: WsKeepAlive | undefined }
  /** Replaces none: one that waits already is sent at once. */
  | ({ readonly type: 'send-delayed'; readonly timeoutMs: number } & Message)
  | { readonly type: 'flush-delayed' };

export interface Message {
  readonly messageType: MessageType;
  readonly content: Buffer;
}

export interface WsResume {
  /** Of the last item that the client has had. */
  readonly since: string;
  /** Texts for the client, in front of what it has missed, or instead of it; undefined: it is told nothing. */
  readonly recovered: string | undefined;
  readonly notRecovered: string | undefined;
}

export interface WsKeepAlive extends Message {
  readonly timeoutMs: number;
  /** `idle`: that long after the last message to the client; `interval`: always after that long. */
  readonly mode: 'idle' | 'interval';
}

export type ControlReading =
  | { readonly ok: true; readonly message: ControlMessage }
  /** One line for the log. The message is ignored and the connection goes on. */
  | { readonly ok: false; readonly problem: string };

const KEEP_ALIVE_MS = 55_000;
const DELAY_MS = 1000;

/** Reads a control message, without its `c:`. Members that its type does not know are ignored. */
export function readControlMessage(json: string): ControlReading {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return { ok: false, problem: 'grip control message is not valid JSON' };
  }
  try {
    return { ok: true, message: messageOf(new Fields(value, 'grip control object', 'c')) };
  } catch (error) {
    if (error instanceof FieldProblem) return { ok: false, problem: error.line };
    throw error;
  }
}

function messageOf(fields: Fields): ControlMessage {
  const type = fields.name('type');
  switch (type) {
    case 'subscribe':
      return subscribe(fields);
    case 'unsubscribe':
      return { type, channel: fields.name('channel') };
    case 'detach':
    case 'flush-delayed':
      return { type };
    case 'session':
      return { type, id: fields.text('id') };
    case 'set-meta':
      return { type, name: fields.name('name'), value: fields.text('value') };
    case 'keep-alive':
      return { type, message: keepAlive(fields) };
    case 'send-delayed': {
      const message = messageIn(fields);
      if (message === undefined) throw fields.missing("'content' or 'content-bin'", 'c', 'one of them');
      return { type, ...message, timeoutMs: fields.seconds('timeout') ?? DELAY_MS };
    }
    default:
      throw new FieldProblem(`'type' contains unknown value: ${type}`, 'c.type', CONTROL_TYPES.join(', '));
  }
}

const CONTROL_TYPES: readonly ControlMessage['type'][] = [
  'subscribe',
  'unsubscribe',
  'detach',
  'session',
  'set-meta',
  'keep-alive',
  'send-delayed',
  'flush-delayed',
];

function subscribe(fields: Fields): ControlMessage {
  const channel = fields.name('channel');
  const filters = fields.texts('filters') ?? [];
  const problem = filterProblem(channel, filters);
  if (problem !== undefined) throw new FieldProblem(problem, 'c.filters', 'names of filters');
  return { type: 'subscribe', channel, filters, resume: resume(fields) };
}

function resume(fields: Fields): WsResume | undefined {
  if (!fields.has('since')) return undefined;
  return {
    since: fields.name('since'),
    recovered: fields.text('recovered'),
    notRecovered: fields.text('not-recovered'),
  };
}

function keepAlive(fields: Fields): WsKeepAlive | undefined {
  const message = messageIn(fields);
  if (message === undefined) return undefined;
  const mode = fields.choice('mode', ['idle', 'interval'] as const) ?? 'idle';
  return { ...message, timeoutMs: fields.seconds('timeout') || KEEP_ALIVE_MS, mode };
}

/** The type is text where none is given, for `content-bin` too. */
function messageIn(fields: Fields): Message | undefined {
  const messageType = fields.choice('message-type', MESSAGE_TYPES) ?? 'text';
  const content = fields.bytes('content')?.content;
  if (content === undefined) return undefined;
  checkContent(fields, messageType, content);
  return { messageType, content };
}
