import type { HeaderList } from '../http/header-list.js';
import { quote } from '../http/quote.js';
import { headersFromJson } from './client-headers.js';
import { filterProblem } from './filters.js';
import type { BackendResponse, ClientResponse, HoldChannel, KeepAlive, Problem, Said } from './hold.js';
import { FieldProblem, Fields } from './json-fields.js';
import { readJsonHeaders, toWire } from './json-headers.js';

const INSTRUCT_MEDIA_TYPE = 'application/grip-instruct';
const KEEP_ALIVE_MS = 55_000;

export function isInstruct(headers: HeaderList): boolean {
  const mediaType = headers.get('content-type')?.split(';', 1)[0]!.trim();
  return mediaType?.toLowerCase() === INSTRUCT_MEDIA_TYPE;
}

/**
 * The instruction in a body `application/grip-instruct`, upon what the headers said: its channels and meta are added,
 * all else replaces. The client sees nothing of the backend’s own response but its status.
 */
export function readInstruct(response: BackendResponse, body: Buffer, said: Said): Said | Problem {
  if (response.status !== 200) {
    return {
      problem: `response code for ${INSTRUCT_MEDIA_TYPE} content must be 200, not ${response.status}`,
    };
  }
  let value: unknown;
  try {
    value = JSON.parse(body.toString());
  } catch {
    return {
      problem: `failed to parse ${INSTRUCT_MEDIA_TYPE} content as JSON: ${quote(body.toString('latin1'))}`,
    };
  }
  try {
    const instruct = new Fields(value, 'instruct', 'instruct');
    const hold = instruct.object('hold', 'hold');
    const fields = instruct.object('response', 'response');
    return {
      ...(hold === undefined ? said : holdOf(hold, said)),
      response: responseOf(fields, said.response),
    };
  } catch (error) {
    if (error instanceof FieldProblem) return { problem: error.line };
    throw error;
  }
}

function holdOf(hold: Fields, said: Said): Said {
  const channels = hold.list('channels');
  if (channels === undefined) {
    throw hold.missing("'channels'", hold.placeOf('channels'), 'a list of channels');
  }
  return {
    ...said,
    mode: hold.choice('mode', ['response', 'stream'] as const) ?? 'response',
    channels: [
      ...said.channels,
      ...channels.map((channel, i) => channelOf(channel, `${hold.placeOf('channels')}[${i}]`)),
    ],
    timeoutMs: hold.seconds('timeout') ?? said.timeoutMs,
    keepAlive: keepAliveOf(hold.object('keep-alive', 'keep-alive')) ?? said.keepAlive,
    meta: new Map([...said.meta, ...Object.entries(hold.map('meta'))]),
  };
}

function channelOf(value: unknown, place: string): HoldChannel {
  const fields = new Fields(value, 'channel', place);
  const name = fields.name('name');
  const filters = fields.texts('filters') ?? [];
  const problem = filterProblem(name, filters);
  if (problem !== undefined) throw new FieldProblem(problem, fields.placeOf('filters'), 'names of filters');
  return { name, prevId: fields.text('prev-id'), filters };
}

/** There is no mode in JSON; Pushpin’s timer goes on regardless of other content. */
function keepAliveOf(fields: Fields | undefined): KeepAlive | undefined {
  const content = fields?.bytes('content')?.content;
  if (fields === undefined || content === undefined || content.length === 0) return undefined;
  return { content, timeoutMs: fields.seconds('timeout') ?? KEEP_ALIVE_MS, mode: 'interval' };
}

function responseOf(fields: Fields | undefined, backend: ClientResponse): ClientResponse {
  const code = fields?.integer('code', 200, 599);
  const read = fields && readJsonHeaders(fields);
  return {
    status: code ?? backend.status,
    // Empty: the usual one.
    reason: read?.reason === undefined ? (code === undefined ? backend.reason : '') : toWire(read.reason),
    headers: headersFromJson(read?.headers ?? []),
    body: fields?.bytes('body')?.content ?? Buffer.alloc(0),
  };
}
