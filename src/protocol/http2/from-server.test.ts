import { describe, expect, it } from 'vitest';
import { serverAnswer } from './from-server.js';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const asked = { method: 'GET', key: KEY };

describe('the answer to an extended CONNECT', () => {
  it.each([200, 204, 299])('is a switch with %i (RFC 8441 §5)', (status) => {
    const raw = [':status', String(status), 'sec-websocket-protocol', 'v1', 'content-length', '0'];
    const { text, ...answer } = serverAnswer([...raw, 'sec-websocket-accept', 'theirs'], false, asked);
    expect(answer).toEqual({ status: 101, body: 'tunnel' });
    expect(text.split('\r\n')).toEqual([
      'HTTP/1.1 101 Switching Protocols',
      'sec-websocket-protocol: v1',
      'Upgrade: websocket',
      'Connection: Upgrade',
      // RFC 6455 §1.3 has this pair.
      'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
      '',
      '',
    ]);
  });

  it('is no switch with anything else', () => {
    for (const status of [300, 401, 500]) {
      expect(serverAnswer([':status', String(status)], false, asked)).toMatchObject({
        status,
        body: 'chunked',
      });
    }
    expect(serverAnswer([':status', '103'], false, asked)).toEqual({
      status: 103,
      text: 'HTTP/1.1 103 Early Hints\r\n\r\n',
      body: 'none',
    });
  });
});

describe('the framing of a body', () => {
  const plain = { method: 'GET', key: undefined };
  const length = ['content-length', '5'];
  it.each<[string, string[], boolean, string, string]>([
    ['of unknown length', [], false, 'chunked', 'Transfer-Encoding: chunked'],
    ['of known length', length, false, 'length', 'content-length: 5'],
    ['of none', [], true, 'none', 'Content-Length: 0'],
  ])('%s', (_name, fields, hasEnded, body, line) => {
    const answer = serverAnswer([':status', '200', ...fields], hasEnded, plain);
    expect(answer.body).toBe(body);
    expect(answer.text.split('\r\n')).toEqual(['HTTP/1.1 200 OK', line, 'Connection: close', '', '']);
  });

  it('is left out where there never is one', () => {
    for (const [status, method] of [
      ['204', 'GET'],
      ['304', 'GET'],
      ['200', 'HEAD'],
    ] as const) {
      const answer = serverAnswer([':status', status], true, { method, key: undefined });
      expect(answer.body).toBe('none');
      expect(answer.text).not.toMatch(/length|encoding/i);
    }
  });
});

it('drops what belongs to a connection, and throws on what HTTP/1.1 cannot say', () => {
  const { text } = serverAnswer([':status', '404', 'connection', 'x', 'keep-alive', 'y'], true, asked);
  expect(text).not.toContain('keep-alive');
  expect(() => serverAnswer([':status', '200', 'a', 'x\r\ny'], false, asked)).toThrow(RangeError);
  expect(() => serverAnswer([], false, asked)).toThrow(RangeError);
});
