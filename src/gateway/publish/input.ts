/** What callers may ask for, read strictly: what is not understood is an error, never passed over. */
import { isSendableCloseCode } from '../../protocol/frames/writer.js';
import { quote } from '../../protocol/http/quote.js';
import { PublishFailure } from './failure.js';

const DEFAULT_PAGE = 100;
/** The longest page of sessions or channels. */
export const MAX_PAGE = 1000;
/** RFC 6455 §5.5: a control frame carries 125 bytes, two of them the code. */
const MAX_REASON_BYTES = 123;
const DEFAULT_CLOSE_CODE = 1000;

export interface Paging {
  readonly limit: number;
  /** What the page before gave as `next`. */
  readonly after: string | undefined;
}

export function readPaging(query: URLSearchParams): Paging {
  const limit = one(query, 'limit');
  const isNumber = limit === undefined || /^\d{1,4}$/.test(limit);
  const number = limit === undefined ? DEFAULT_PAGE : Number(limit);
  if (!isNumber || number < 1 || number > MAX_PAGE) {
    throw wrong(`expected \`limit\` to be a whole number from 1 to ${MAX_PAGE}, found ${quote(limit ?? '')}`);
  }
  return { limit: number, after: one(query, 'after') };
}

/** What a Close frame carries. */
export function readClose(query: URLSearchParams): { readonly code: number; readonly reason: string } {
  const code = one(query, 'code');
  const number = code === undefined ? DEFAULT_CLOSE_CODE : /^\d{4}$/.test(code) ? Number(code) : NaN;
  if (!isSendableCloseCode(number)) {
    throw wrong(`expected \`code\` to be one of 1000-1003, 1007-1014, 3000-4999, found ${quote(code ?? '')}`);
  }
  const reason = one(query, 'reason') ?? '';
  const bytes = Buffer.byteLength(reason);
  if (bytes > MAX_REASON_BYTES) {
    throw wrong(`expected \`reason\` to have at most ${MAX_REASON_BYTES} bytes of UTF-8, found ${bytes}`);
  }
  return { code: number, reason };
}

export function readFlag(query: URLSearchParams, name: string): boolean {
  const value = one(query, name) ?? 'false';
  if (value === 'true' || value === 'false') return value === 'true';
  throw wrong(`expected \`${name}\` to be true or false, found ${quote(value)}`);
}

export function insistOnKnown(query: URLSearchParams, known: readonly string[]): void {
  const strange = [...query.keys()].find((name) => !known.includes(name));
  if (strange === undefined) return;
  const there = known.length === 0 ? 'none is known here' : `known here: ${known.join(', ')}`;
  throw wrong(`unknown parameter ${quote(strange)}; ${there}`);
}

export function wrong(message: string): PublishFailure {
  return new PublishFailure('BAD_REQUEST', message);
}

/** A parameter that may be given once. */
export function one(query: URLSearchParams, name: string): string | undefined {
  const values = query.getAll(name);
  if (values.length > 1) throw wrong(`expected \`${name}\` once, found it ${values.length} times`);
  return values[0];
}
