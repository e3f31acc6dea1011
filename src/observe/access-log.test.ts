import { describe, expect, it } from 'vitest';
import { accessLog, humanLine, jsonLine, roughDuration, roughSize } from './access-log.js';
import type { AccessRecord } from './record.js';

const request: AccessRecord = {
  time: '2026-01-02T03:04:05.678Z',
  client: '192.0.2.1',
  method: 'GET',
  host: 'chat.example.com',
  path: '/index.html',
  status: 200,
  via: 'h1',
  route: 'pages',
  upstream: 'web',
  server: 'http://127.0.0.1:3000',
  durationMs: 12.345,
  bytesFromClient: 0,
  bytesFromUpstream: 1434,
};

const session: AccessRecord = {
  ...request,
  path: '/socket.io/',
  status: 101,
  generation: 'hixie-76',
  subprotocol: 'sample',
  durationMs: 123_456,
  handshakeMs: 3,
  bytesFromClient: 340,
  bytesFromUpstream: 20 * 1024 ** 2,
  messagesFromClient: 12,
  messagesFromUpstream: 15,
  closeCodeFromClient: 1000,
  closedBy: 'client',
  outcome: 'client-closed',
};

const clockTime = new Date(request.time).toTimeString().slice(0, 8);

describe('json', () => {
  it('is one line with the fields of the record, those that do not apply left out', () => {
    const lines: string[] = [];
    const log = accessLog('json', { write: (line) => lines.push(line) });
    log(session);
    log({ ...request, generation: undefined, path: '/"\n\u0000é' });
    expect(lines.map((line) => line.endsWith('}\n') && line.split('\n').length)).toEqual([2, 2]);
    expect(JSON.parse(lines[0]!)).toEqual(session);
    expect(JSON.parse(lines[1]!)).toEqual({ ...request, path: '/"\n\u0000é' });
    expect(lines[1]).not.toContain('generation');
  });
});

describe('human', () => {
  it('a request', () => {
    expect(plain(request)).toBe(
      `${clockTime}  200  GET chat.example.com/index.html  → http://127.0.0.1:3000  12ms  ↑0B  ↓1.4KiB`,
    );
  });

  it('a session', () => {
    expect(plain(session)).toBe(
      `${clockTime}  101  GET chat.example.com/socket.io/  → http://127.0.0.1:3000  hixie-76 sample  2m03s  ` +
        '↑12 msg 340B  ↓15 msg 20MiB  client-closed 1000/-',
    );
  });

  it('a session that was too slow for what was sent to it', () => {
    expect(plain({ ...session, messagesDropped: 7 })).toContain('  ↓15 msg 20MiB (7 dropped)  ');
    expect(jsonLine({ ...session, messagesDropped: 7 })).toContain(
      '"messagesFromUpstream":15,"messagesDropped":7,',
    );
  });

  it('a session between two generations', () => {
    expect(plain({ ...session, upstreamGeneration: 'rfc6455' })).toContain('  hixie-76⇄rfc6455 sample  ');
    expect(jsonLine({ ...session, upstreamGeneration: 'rfc6455' })).toContain(
      '"generation":"hixie-76","upstreamGeneration":"rfc6455","subprotocol":"sample"',
    );
  });

  it('the reason of whoever closed first', () => {
    const reasons = { closeReasonFromClient: 'bye\u0007', closeReasonFromUpstream: 'ok' };
    expect(plain({ ...session, ...reasons })).toMatch(/client-closed 1000\/- “bye\\x07”$/);
    expect(plain({ ...session, ...reasons, closedBy: 'upstream' })).toMatch(/ “ok”$/);
    expect(plain({ ...session, closeReasonFromUpstream: 'ok' })).toMatch(/ “ok”$/);
  });

  it('a failure', () => {
    const { server: _, host: __, ...rest } = request;
    const record: AccessRecord = {
      ...rest,
      method: '-',
      path: '-',
      status: 400,
      outcome: 'failed(REQUEST_HEAD_MALFORMED)',
      detail: 'the header name is not a token',
    };
    expect(plain(record)).toBe(
      `${clockTime}  400  - -  12ms  ↑0B  ↓1.4KiB  failed(REQUEST_HEAD_MALFORMED)  the header name is not a token`,
    );
  });

  it('shows control characters instead of sending them to the terminal', () => {
    const line = plain({ ...request, path: '/\u001b[2J\r\n\u009b1m\u007f', detail: 'a\u0007b' });
    expect(line).toContain('/\\x1b[2J\\x0d\\x0a\\x9b1m\\x7f');
    expect(line).toContain('a\\x07b');
  });

  it('is coloured by status when asked to', () => {
    const statuses = [101, 200, 304, 404, 502];
    const codes = statuses.map((status) => {
      const line = humanLine({ ...request, status }, { color: true });
      return /\[(\d+)m\d{3}/.exec(line)?.[1];
    });
    expect(codes).toEqual(['36', '32', '32', '33', '31']);
  });
});

it.each([
  [0, '0ms'],
  [0.4, '0ms'],
  [999.4, '999ms'],
  [999.6, '1.0s'],
  [1234, '1.2s'],
  [59_400, '59.4s'],
  [59_600, '1m00s'],
  [3_599_000, '59m59s'],
  [3_720_000, '1h02m'],
  [90_000_000, '25h00m'],
])('%d ms is %s', (ms, text) => {
  expect(roughDuration(ms)).toBe(text);
});

it.each([
  [0, '0B'],
  [1023, '1023B'],
  [1024, '1.0KiB'],
  [10_240, '10KiB'],
  [1_572_864, '1.5MiB'],
  [3 * 1024 ** 3, '3.0GiB'],
])('%d bytes are %s', (bytes, text) => {
  expect(roughSize(bytes)).toBe(text);
});

function plain(record: AccessRecord): string {
  return humanLine(record, { color: false });
}
