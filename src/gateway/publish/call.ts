import type { IncomingMessage } from 'node:http';
import type { Channels } from '../../channels/channels.js';
import { readApiBody } from '../../net/api-body.js';
import type { ApiAnswer } from '../../net/api-server.js';
import { quote } from '../../protocol/http/quote.js';
import { PublishFailure } from './failure.js';

/** What the publish listener speaks for. */
export interface PublishHouse {
  readonly channels: Channels;
  readonly maxBodyBytes: number;
}

/** One request, to the endpoint that it has found. */
export interface Call extends PublishHouse {
  readonly req: IncomingMessage;
  readonly query: URLSearchParams;
  /** From the path, decoded; empty where there is none. */
  readonly name: string;
}

export function inJson(value: object, status = 200): ApiAnswer {
  return { status, type: 'application/json', body: `${JSON.stringify(value)}\n` };
}

/** The body as it came: what is compressed is not taken. */
export async function readBody({ req, maxBodyBytes }: Call): Promise<Buffer> {
  const encoding = req.headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  if (encoding !== 'identity') {
    const message = `expected a body without Content-Encoding, found ${quote(encoding)}`;
    throw new PublishFailure('TYPE_NOT_SUPPORTED', message, { headers: { 'Accept-Encoding': 'identity' } });
  }
  const body = await readApiBody(req, maxBodyBytes);
  if (body === 'broken') throw new PublishFailure('BAD_REQUEST', 'the body broke off');
  if (body !== 'too-large') return body;
  throw new PublishFailure(
    'BODY_TOO_LARGE',
    `expected a body of at most ${maxBodyBytes} bytes (\`publish.maxBodyBytes\`), found more`,
  );
}
