import type { ServerResponse } from 'node:http';
import type { RequestHead } from '../protocol/http/head.js';
import type { RedirectPlan } from '../route/plan.js';

const HTTPS_PORT = 443;

/** Sends a client to the same host and target over TLS. Returns the status. */
export function answerRedirect(
  res: ServerResponse,
  head: RequestHead,
  { port, status }: RedirectPlan,
): number {
  const host = head.headers.get('host') ?? '';
  if (host === '') return answer(res, 400, 'a redirect needs a Host\n');
  const name = host.replace(/:\d*$/, '');
  // `OPTIONS *` is about the server as a whole.
  const target = head.target === '*' ? '/' : head.target;
  const location = `https://${name}${port === HTTPS_PORT ? '' : `:${port}`}${target}`;
  return answer(res, status, `${location}\n`, location);
}

function answer(res: ServerResponse, status: number, text: string, location?: string): number {
  const body = Buffer.from(text, 'latin1');
  res.sendDate = false;
  res.writeHead(status, [
    ...(location === undefined ? [] : ['Location', location]),
    'Content-Type',
    'text/plain; charset=utf-8',
    'Content-Length',
    String(body.length),
    'X-Content-Type-Options',
    'nosniff',
  ]);
  res.end(body);
  return status;
}
