import { errorTable, type ProxyError } from '../../base/errors.js';
import { HeaderList } from './header-list.js';

/** An HTTP answer that tells a client of a failure: complete but for `Connection`, which the sender knows best. */
export interface ErrorAnswer {
  readonly status: number;
  readonly reason: string;
  readonly headers: HeaderList;
  readonly body: Buffer;
}

/** The phrases of RFC 9110 §15 for every status in the error table; a test holds the two together. */
const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  408: 'Request Timeout',
  413: 'Content Too Large',
  426: 'Upgrade Required',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  499: 'Client Closed Request',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
};

/**
 * Renders an error for the client: a line with status and code, a line for people. What went wrong on the client’s
 * side is told in detail; of the upstream and of ourselves only the table’s general sentence leaves the house, since
 * the detail names internal addresses and belongs in the log.
 *
 * A 426 carries `Upgrade: websocket` (RFC 9110 §15.5.22): its sender owes the `upgrade` token in `Connection`.
 */
export function renderError(error: ProxyError): ErrorAnswer {
  const sentence = error.side === 'client' ? oneLine(error.message) : errorTable[error.code].doc;
  const body = Buffer.from(`${error.status} ${error.code}\n${sentence}\n`, 'utf8');
  const headers = new HeaderList();
  headers.append('Content-Type', 'text/plain; charset=utf-8');
  headers.append('Content-Length', String(body.length));
  // The detail may quote what the client sent; no browser is to take it for a page, no cache to keep it.
  headers.append('X-Content-Type-Options', 'nosniff');
  headers.append('Cache-Control', 'no-store');
  if (error.status === 426) headers.append('Upgrade', 'websocket');
  return { status: error.status, reason: REASONS[error.status] ?? '', headers, body };
}

function oneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what must not get through
  return text.replace(/[\x00-\x1f\x7f]+/g, ' ').trim();
}
