import type { IncomingMessage } from 'node:http';
import { readApiBody } from '../net/api-body.js';
import { AdminFailure } from './failure.js';

/** The largest request body that is read. */
export const MAX_BODY_BYTES = 64 * 1024;

/**
 * The JSON object that a request carries; no body is an empty one. Its type must be said to be JSON: a web page can
 * send a form across origins without asking, but not that.
 */
export async function readJson(req: IncomingMessage): Promise<Readonly<Record<string, unknown>>> {
  const type = req.headers['content-type'];
  if (type === undefined || !/^application\/json\s*(?:;|$)/i.test(type)) {
    const found = type === undefined ? 'none' : JSON.stringify(type);
    throw new AdminFailure(
      'CONTENT_TYPE_REQUIRED',
      `expected Content-Type: application/json, found ${found}`,
    );
  }
  const text = (await readBody(req)).toString('utf8');
  const value = text.trim() === '' ? {} : parse(text);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw new AdminFailure('BAD_REQUEST', 'expected a body that is a JSON object');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new AdminFailure('BAD_REQUEST', 'the body is not valid JSON');
  }
}

async function readBody(req: IncomingMessage): Promise<Buffer> {
  const body = await readApiBody(req, MAX_BODY_BYTES);
  if (body === 'too-large') {
    const message = `expected a body of at most ${MAX_BODY_BYTES} bytes, found more`;
    throw new AdminFailure('BODY_TOO_LARGE', message);
  }
  if (body === 'broken') throw new AdminFailure('BAD_REQUEST', 'the body broke off');
  return body;
}
