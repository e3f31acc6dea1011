/** What callers may ask for, read strictly: what is not understood is an error, never passed over. */
import { isSendableCloseCode } from '../protocol/frames/writer.js';
import { AdminFailure } from './failure.js';
import type { CloseOrder, ConnectionFilter, DrainOrder, Paging } from './target.js';

const DEFAULT_PAGE = 100;
/** The longest page of connections. */
export const MAX_PAGE = 1000;
/** RFC 6455 §5.5: a control frame carries 125 bytes, two of them the code. */
const MAX_REASON_BYTES = 123;
const DEFAULT_CLOSE_CODE = 1001;
const DEFAULT_CLOSE_TIMEOUT_MS = 5000;
const MAX_CLOSE_TIMEOUT_MS = 60_000;
/** The longest delay that timers take. */
const MAX_DURATION_MS = 2 ** 31 - 1;

type Body = Readonly<Record<string, unknown>>;

export function readConnectionQuery(query: URLSearchParams): { filter: ConnectionFilter; paging: Paging } {
  const known = ['route', 'client', 'upstream', 'limit', 'after'];
  insistOnKnown([...query.keys()], known, 'parameter');
  const one = (name: string): string | undefined => {
    const values = query.getAll(name);
    if (values.length > 1) throw wrong(`expected \`${name}\` once, found it ${values.length} times`);
    return values[0];
  };
  return {
    filter: { route: one('route'), client: one('client'), upstream: one('upstream') },
    paging: {
      limit: readNumber('limit', one('limit'), 1, MAX_PAGE) ?? DEFAULT_PAGE,
      after: readNumber('after', one('after'), 0, Number.MAX_SAFE_INTEGER) ?? 0,
    },
  };
}

export function readCloseOrder(body: Body): CloseOrder {
  insistOnKnown(Object.keys(body), ['code', 'reason', 'timeoutMs'], 'key');
  return {
    code: readCode(body) ?? DEFAULT_CLOSE_CODE,
    reason: readReason(body) ?? '',
    timeoutMs: readWhole(body, 'timeoutMs', MAX_CLOSE_TIMEOUT_MS) ?? DEFAULT_CLOSE_TIMEOUT_MS,
  };
}

export function readDrainOrder(body: Body): DrainOrder {
  insistOnKnown(Object.keys(body), ['timeoutMs', 'spreadMs', 'code', 'reason'], 'key');
  return {
    timeoutMs: readWhole(body, 'timeoutMs', MAX_DURATION_MS),
    spreadMs: readWhole(body, 'spreadMs', MAX_DURATION_MS),
    code: readCode(body),
    reason: readReason(body),
  };
}

/** A request that takes no settings. */
export function insistOnNothing(body: Body): void {
  insistOnKnown(Object.keys(body), [], 'key');
}

function readCode({ code }: Body): number | undefined {
  if (code === undefined) return undefined;
  if (typeof code === 'number' && isSendableCloseCode(code)) return code;
  throw wrong(`expected \`code\` to be one of 1000-1003, 1007-1014, 3000-4999, found ${show(code)}`);
}

function readReason({ reason }: Body): string | undefined {
  if (reason === undefined) return undefined;
  if (typeof reason !== 'string') throw wrong(`expected \`reason\` to be text, found ${show(reason)}`);
  const bytes = Buffer.byteLength(reason);
  if (bytes <= MAX_REASON_BYTES) return reason;
  throw wrong(`expected \`reason\` to have at most ${MAX_REASON_BYTES} bytes of UTF-8, found ${bytes}`);
}

function readWhole(body: Body, key: string, most: number): number | undefined {
  const value = body[key];
  if (value === undefined) return undefined;
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most) return value as number;
  throw wrong(`expected \`${key}\` to be a whole number from 0 to ${most}, found ${show(value)}`);
}

function readNumber(name: string, text: string | undefined, least: number, most: number): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (value >= least && value <= most) return value;
  throw wrong(`expected \`${name}\` to be a whole number from ${least} to ${most}, found ${show(text)}`);
}

function insistOnKnown(found: readonly string[], known: readonly string[], what: string): void {
  const strange = found.find((name) => !known.includes(name));
  if (strange === undefined) return;
  const there = known.length === 0 ? 'none is known here' : `known here: ${known.join(', ')}`;
  throw wrong(`unknown ${what} ${show(strange)}; ${there}`);
}

function show(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function wrong(message: string): AdminFailure {
  return new AdminFailure('BAD_REQUEST', message);
}
