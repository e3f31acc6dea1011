import { expect, test } from 'vitest';
import { errorTable, ProxyError, type ErrorCode } from '../../base/errors.js';
import { renderError } from './error-answer.js';

test('an upstream failure names its code and keeps the address for the log', () => {
  const answer = renderError(new ProxyError('UPSTREAM_CONNECT_FAILED', 'http://10.0.0.7:3001: ECONNREFUSED'));
  expect(answer.status).toBe(502);
  expect(answer.reason).toBe('Bad Gateway');
  expect(answer.body.toString()).toBe(
    '502 UPSTREAM_CONNECT_FAILED\nNo connection to the upstream server: refused, unreachable, or the socket file is missing.\n',
  );
  expect(answer.headers.get('content-length')).toBe(String(answer.body.length));
  expect(answer.headers.has('connection')).toBe(false);
});

test('a client’s own mistake is told in detail, on one line', () => {
  const answer = renderError(
    new ProxyError('HANDSHAKE_INVALID', 'Sec-WebSocket-Key is not 16 bytes:\r\n "x"\u0000'),
  );
  expect(answer.body.toString()).toBe('400 HANDSHAKE_INVALID\nSec-WebSocket-Key is not 16 bytes:  "x"\n');
});

test('the length counts bytes, not characters', () => {
  const answer = renderError(new ProxyError('HANDSHAKE_INVALID', 'é’'));
  expect(answer.headers.get('content-length')).toBe(String(Buffer.byteLength(answer.body.toString())));
  expect(answer.body.toString()).toContain('é’');
});

test('426 says what to upgrade to', () => {
  const answer = renderError(new ProxyError('HANDSHAKE_GENERATION_REFUSED', 'this route takes rfc6455 only'));
  expect(answer.status).toBe(426);
  expect(answer.headers.get('upgrade')).toBe('websocket');
});

test.each(Object.keys(errorTable) as ErrorCode[])('%s has a reason phrase', (code) => {
  expect(renderError(new ProxyError(code, 'x')).reason).not.toBe('');
});
