import { createServer, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readPlainHead } from './plain-head.js';

const lines = (...more: string[]) => ['GET /chat?a=1 HTTP/1.1', 'Host: a.example:8080', ...more];
const head = (of: readonly string[]) => of.map((line) => `${line}\r\n`).join('') + '\r\n';
const read = (text: string, maxLength = 16_384) => {
  const found = readPlainHead(text, maxLength);
  return found && { ...found.head, headers: found.head.headers.toRaw(), length: found.length };
};

describe('readPlainHead', () => {
  it('reads a head in its plainest form', () => {
    const text = head(lines('Upgrade: websocket', 'x-ODD:', 'Cookie:  a=b; c\t ', 'Cookie: \u00e9'));
    expect(read(`${text}\x81\x80`)).toEqual({
      method: 'GET',
      target: '/chat?a=1',
      httpVersion: '1.1',
      headers: [
        ['Host', 'a.example:8080'],
        ['Upgrade', 'websocket'],
        ['x-ODD', ''],
        ['Cookie', 'a=b; c'],
        ['Cookie', '\u00e9'],
      ].flat(),
      length: text.length,
    });
  });

  it('reads no more than it may', () => {
    const text = head(lines());
    expect(read(text, text.length)).toBeDefined();
    expect(read(text, text.length - 1)).toBeUndefined();
  });

  it.each<[string, string]>([
    ['half a head', head(lines()).slice(0, -1)],
    ['nothing', ''],
    ['another method', head(['POST / HTTP/1.1', 'Host: a'])],
    ['another version', head(['GET / HTTP/1.0', 'Host: a'])],
    ['a URL for a target', head(['GET http://a/ HTTP/1.1', 'Host: a'])],
    ['a fragment', head(['GET /#a HTTP/1.1', 'Host: a'])],
    ['bytes beyond ASCII in the target', head(['GET /\u00e9 HTTP/1.1', 'Host: a'])],
    ['two spaces', head(['GET  / HTTP/1.1', 'Host: a'])],
    ['no host', head(['GET / HTTP/1.1', 'Upgrade: websocket'])],
    ['no field at all', 'GET / HTTP/1.1\r\n\r\n'],
    ['two hosts', head(lines('host: b'))],
    ['a host that is none', head(['GET / HTTP/1.1', 'Host: a b'])],
    ['a length', head(lines('Content-Length: 0'))],
    ['an encoding', head(lines('Transfer-Encoding: chunked'))],
    ['a folded line', head(lines('A: b', ' c'))],
    ['a space before the colon', head(lines('A : b'))],
    ['no name', head(lines(': b'))],
    ['no colon', head(lines('abc'))],
    ['a line that ends in LF', 'GET / HTTP/1.1\r\nHost: a\nB: c\r\n\r\n'],
    ['a line that ends in CR', 'GET / HTTP/1.1\r\nHost: a\rB: c\r\n\r\n'],
    ['a NUL', head(lines('A: b\0c'))],
    ['a line in front', `\r\n${head(lines())}`],
  ])('leaves %s to others', (_what, text) => {
    expect(read(text)).toBeUndefined();
  });

  describe('beside Node’s parser', () => {
    const server = createServer((req) => settle(req));
    server.on('upgrade', (req) => settle(req));
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      // Earlier sockets, which the test has destroyed, fail otherwise.
      if (error.code?.startsWith('HPE_')) settle(undefined);
      socket.destroy();
    });
    let settle: (req: IncomingMessage | undefined) => void = () => {};
    beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
    afterAll(() => void server.close());

    /** What Node makes of the bytes; undefined when it refuses them. */
    const readByNode = async (text: string) => {
      const found = new Promise<IncomingMessage | undefined>((resolve) => (settle = resolve));
      const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
      socket.on('error', () => {});
      socket.write(Buffer.from(text, 'latin1'));
      const req = await found;
      socket.destroy();
      return req && { method: req.method, target: req.url, headers: req.rawHeaders };
    };

    const strange = fc.constantFrom(
      '\r',
      '\n',
      '\r\n',
      '\0',
      ' ',
      '\t',
      ':',
      '\u00e9',
      '\x7f',
      '#',
      '"',
      'a',
    );
    it('whatever it reads, Node reads the same', { timeout: 60_000 }, async () => {
      let taken = 0;
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.constantFrom('Upgrade: websocket', 'Connection: Upgrade', 'A:b', 'A: b\t', 'B: "ü"'), {
            maxLength: 4,
          }),
          fc.array(fc.tuple(fc.nat({ max: 120 }), strange), { maxLength: 2 }),
          async (fields, damage) => {
            let text = head(lines(...fields));
            for (const [at, what] of damage) text = text.slice(0, at) + what + text.slice(at + 1);
            const ours = read(text);
            if (ours === undefined) return;
            taken++;
            const { method, target, headers } = ours;
            expect({ method, target, headers }).toEqual(await readByNode(text));
          },
        ),
        { numRuns: 400 },
      );
      expect(taken).toBeGreaterThan(50);
    });
  });
});
