import { describe, expect, test } from 'vitest';
import { startBackend } from '../fixtures/http-backend.js';
import { startHttpProxy, type HttpProxyOptions } from '../fixtures/http-proxy.js';
import { RawPeer } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';

/** Client, proxy and backend, with both ends of the wire in the test's hands. */
async function wire(options: HttpProxyOptions = {}) {
  const backend = await RawServer.listen();
  const proxy = await startHttpProxy([backend.url], options);
  const client = await RawPeer.connect(proxy.port);
  return { backend, proxy, client };
}

/** Sends a request and resolves with the head that the backend sees, and the backend's end of the connection. */
async function forward(request: string, options: HttpProxyOptions = {}) {
  const { backend, proxy, client } = await wire(options);
  client.write(request);
  const server = await backend.accept();
  return { client, server, proxy, backend, head: await server.head() };
}

/** Answers a request with these bytes and resolves with the head that the client sees. */
async function answer(response: string, request = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n') {
  const { client, server, proxy } = await forward(request);
  server.write(response);
  return { client, server, proxy, head: await client.head() };
}

describe('fields', () => {
  test('pass in their order, case and number, hop-by-hop and Connection-named ones aside', async () => {
    const { client, server, proxy, backend, head } = await forward(
      'GET /a?b=%20c HTTP/1.1\r\nX-B: 1\r\nHOST: example.com\r\nx-a: caf\xe9\r\nX-B: 2\r\nx-b: 3\r\n' +
        'Connection: keep-alive, X-Secret\r\nX-Secret: s\r\nKeep-Alive: timeout=9\r\nProxy-Connection: x\r\n' +
        'TE: trailers, gzip\r\n\r\n',
    );
    expect(head).toEqual([
      'GET /a?b=%20c HTTP/1.1',
      'X-B: 1',
      'HOST: example.com',
      'x-a: caf\xe9',
      'X-B: 2',
      'x-b: 3',
      'TE: trailers',
      'Connection: keep-alive, TE',
    ]);
    server.write(
      'HTTP/1.1 200 F\xefne\r\nSet-Cookie: a=1\r\nx-Z: 1\r\nset-cookie: b=2\r\nContent-Length: 2\r\n' +
        'Set-Cookie: c=\xe9\r\nConnection: X-Internal\r\nX-Internal: 1\r\nKeep-Alive: timeout=1\r\nUpgrade: h2c\r\n\r\nhi',
    );
    expect(await client.head()).toEqual([
      'HTTP/1.1 200 F\xefne',
      'Set-Cookie: a=1',
      'x-Z: 1',
      'set-cookie: b=2',
      'Content-Length: 2',
      'Set-Cookie: c=\xe9',
      'Connection: keep-alive',
      'Keep-Alive: timeout=60',
    ]);
    expect((await client.take(2)).toString()).toBe('hi');
    expect(await proxy.nextResult()).toEqual({
      status: 200,
      server: backend.url,
      bytesFromClient: 0,
      bytesFromUpstream: 2,
    });
  });

  test('bytes beyond ASCII survive in front of a streamed body, both ways', async () => {
    const { client, server, head } = await forward(
      'POST /caf%C3%A9 HTTP/1.1\r\nHost: a\r\nX: \xe9\xff\r\nTransfer-Encoding: chunked\r\n\r\n',
    );
    expect(head).toContain('X: \xe9\xff');
    server.write('HTTP/1.1 200 \xe9\r\nX: \xff\r\nTransfer-Encoding: chunked\r\n\r\n');
    const answered = await client.head();
    expect(answered[0]).toBe('HTTP/1.1 200 \xe9');
    expect(answered).toContain('X: \xff');
  });

  test('an upgrade that is not taken leaves no trace', async () => {
    const { head } = await forward(
      'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n',
    );
    expect(head).toEqual(['GET / HTTP/1.1', 'Host: a', 'Connection: keep-alive']);
  });

  test('three thousand of them pass, each way', async () => {
    const many = Array.from({ length: 3000 }, (_, i) => `h${i}: ${i}`);
    const { client, server, head } = await forward(
      `GET / HTTP/1.1\r\nHost: a\r\n${many.join('\r\n')}\r\n\r\n`,
    );
    expect(head.slice(2, -1)).toEqual(many);
    server.write(`HTTP/1.1 200 OK\r\nContent-Length: 0\r\n${many.join('\r\n')}\r\n\r\n`);
    expect((await client.head()).filter((line) => line.startsWith('h'))).toEqual(many);
  });

  test('an empty reason phrase stays empty, and no Date is added', async () => {
    const { head } = await answer('HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n');
    expect(head[0]).toBe('HTTP/1.1 200 ');
    expect(head.some((line) => /^date:/i.test(line))).toBe(false);
  });
});

describe('Host and where the request came from', () => {
  test('the server’s own Host when the route says so', async () => {
    const { backend, client } = await wire({ route: { hostHeader: 'server' } });
    client.write('GET / HTTP/1.1\r\nA: 1\r\nHost: public.example\r\nB: 2\r\n\r\n');
    expect((await (await backend.accept()).head()).slice(1, 4)).toEqual([
      'A: 1',
      `Host: 127.0.0.1:${backend.port}`,
      'B: 2',
    ]);
  });

  test('X-Forwarded-* are ours, whatever the client claims or names in Connection', async () => {
    const { head } = await forward(
      'GET / HTTP/1.1\r\nHost: public.example\r\nX-Forwarded-For: 1.2.3.4\r\nX_Forwarded_For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n' +
        'X-Real-IP: 6.6.6.6\r\nConnection: X-Forwarded-For, X-Forwarded-Proto\r\n\r\n',
      { route: { forwarded: 'x-forwarded' } },
    );
    expect(head).toEqual([
      'GET / HTTP/1.1',
      'Host: public.example',
      'X-Forwarded-For: 127.0.0.1',
      'X-Forwarded-Proto: http',
      'X-Forwarded-Host: public.example',
      'Connection: keep-alive',
    ]);
  });

  test('a trusted proxy’s X-Forwarded-* are kept and added to', async () => {
    const { head } = await forward(
      'GET / HTTP/1.1\r\nHost: inner\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: outer\r\n\r\n',
      { route: { forwarded: 'x-forwarded' }, trusted: true },
    );
    expect(head.slice(2, -1)).toEqual([
      'X-Forwarded-For: 1.2.3.4, 127.0.0.1',
      'X-Forwarded-Proto: https',
      'X-Forwarded-Host: outer',
    ]);
  });
});

describe('framing of a request', () => {
  const cases: Array<[name: string, request: string, seen: string[], body: string]> = [
    [
      'POST with a length',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc',
      ['Content-Length: 3'],
      'abc',
    ],
    [
      'POST with length 0',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n',
      ['Content-Length: 0'],
      '',
    ],
    ['POST without a body', 'POST / HTTP/1.1\r\nHost: a\r\n\r\n', ['Content-Length: 0'], ''],
    ['PROPFIND without a body', 'PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n', ['Content-Length: 0'], ''],
    [
      'POST in chunks',
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3;ext=1\r\nabc\r\n0\r\n\r\n',
      ['Transfer-Encoding: chunked'],
      '3\r\nabc\r\n0\r\n\r\n',
    ],
    ['GET without a body', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', [], ''],
    [
      'GET with a body',
      'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc',
      ['Content-Length: 3'],
      'abc',
    ],
    [
      'DELETE with a body in chunks',
      'DELETE / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n',
      ['Transfer-Encoding: chunked'],
      '1\r\nx\r\n0\r\n\r\n',
    ],
    [
      'HTTP/1.0 with a length',
      'POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc',
      ['Content-Length: 3'],
      'abc',
    ],
    ['OPTIONS *', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n', [], ''],
  ];
  test.each(cases)('%s', async (_name, request, framing, body) => {
    const { server, head, client } = await forward(request);
    expect(head.slice(1)).toEqual(['Host: a', ...framing, 'Connection: keep-alive']);
    if (body !== '') expect((await server.until(body)).toString()).toBe(body);
    server.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    await client.head();
    expect(server.unread.toString()).toBe('');
  });

  const refused: Array<[name: string, request: string]> = [
    [
      'a coding besides chunked',
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    ],
    ['chunked twice', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n'],
    ['chunks in HTTP/1.0', 'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    [
      'length and chunks',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['two lengths', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx'],
    ['a list of lengths', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx'],
  ];
  test.each(refused)('%s is refused and ends the connection', async (_name, request) => {
    const { backend, client } = await wire();
    client.write(`${request}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n`);
    const answered = (await client.rest()).toString();
    expect(answered).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(answered).toContain('400 REQUEST_HEAD_MALFORMED\n');
    expect(answered.match(/HTTP\/1\.1 /g)).toHaveLength(1);
    expect(backend.accepted).toHaveLength(0);
  });
});

describe('framing of a response', () => {
  test('a length stays a length', async () => {
    const { client, head } = await answer('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello');
    expect(head).toContain('Content-Length: 5');
    expect(head.join()).not.toMatch(/transfer-encoding/i);
    expect((await client.take(5)).toString()).toBe('hello');
  });

  test('length 0', async () => {
    const { proxy, head } = await answer('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    expect(head).toContain('Content-Length: 0');
    expect(await proxy.nextResult()).toMatchObject({ status: 200, bytesFromUpstream: 0 });
  });

  test('chunks stay chunks', async () => {
    const { client, head } = await answer(
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
    );
    expect(head).toContain('Transfer-Encoding: chunked');
    expect((await client.until('0\r\n\r\n')).toString()).toBe('5\r\nhello\r\n0\r\n\r\n');
  });

  test('a body without a length becomes chunks', async () => {
    const { client, server, head } = await answer('HTTP/1.1 200 OK\r\n\r\nhello');
    server.end();
    expect(head).toContain('Transfer-Encoding: chunked');
    expect((await client.until('0\r\n\r\n')).toString()).toBe('5\r\nhello\r\n0\r\n\r\n');
  });

  test('an HTTP/1.0 upstream’s answer keeps the client’s connection', async () => {
    const { client, server, head } = await answer('HTTP/1.0 200 OK\r\n\r\nold');
    server.end();
    expect(head[0]).toBe('HTTP/1.1 200 OK');
    expect(head).toContain('Connection: keep-alive');
    await client.until('0\r\n\r\n');
  });

  test('chunks reach an HTTP/1.0 client bare, and the connection ends them', async () => {
    const { client, head } = await answer(
      'HTTP/1.1 200 OK\r\nTrailer: T\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: 1\r\n\r\n',
      'GET / HTTP/1.0\r\n\r\n',
    );
    expect(head).toEqual(['HTTP/1.1 200 OK', 'Connection: close']);
    expect((await client.rest()).toString()).toBe('hello');
    expect(client.ending).toBe('end');
  });

  test('HTTP/1.0 without Host gets the server’s', async () => {
    const { head, backend } = await forward('GET / HTTP/1.0\r\n\r\n');
    expect(head).toContain(`Host: 127.0.0.1:${backend.port}`);
  });

  const bodiless: Array<[name: string, request: string, response: string, kept: string[]]> = [
    [
      'HEAD with a length',
      'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n',
      ['Content-Length: 500'],
    ],
    [
      'HEAD with chunks and a Trailer',
      'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n',
      'HTTP/1.1 200 OK\r\nTrailer: T\r\nTransfer-Encoding: chunked\r\n\r\n',
      [],
    ],
    ['204', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', 'HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n', ['X: 1']],
    [
      '204 with a length',
      'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
      'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n',
      [],
    ],
    [
      '304 with the length of what it stands for',
      'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
      'HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: "x"\r\n\r\n',
      ['Content-Length: 500', 'ETag: "x"'],
    ],
    [
      '205',
      'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
      'HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n',
      ['Content-Length: 0'],
    ],
  ];
  test.each(bodiless)(
    '%s has no body, and the next request follows on both connections',
    async (_n, request, response, kept) => {
      const { client, server, head, proxy } = await answer(response, request);
      expect(head.slice(1)).toEqual([...kept, 'Connection: keep-alive', 'Keep-Alive: timeout=60']);
      await proxy.nextResult();
      client.write('GET /next HTTP/1.1\r\nHost: a\r\n\r\n');
      expect((await server.head())[0]).toBe('GET /next HTTP/1.1');
      server.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext');
      await client.head();
      expect((await client.take(4)).toString()).toBe('next');
    },
  );
});

describe('trailers', () => {
  test('pass both ways, the dangerous ones aside', async () => {
    const { client, server, head } = await forward(
      'POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: X-Sum, Host\r\nTransfer-Encoding: chunked\r\n\r\n' +
        '1\r\nx\r\n0\r\nX-Sum: 1\r\nHost: evil\r\nAuthorization: 9\r\nX-Forwarded-For: 6.6.6.6\r\nx-sum: 2\r\n\r\n',
    );
    expect(head).toContain('Trailer: X-Sum, Host');
    expect((await server.until('\r\n\r\n')).toString()).toBe('1\r\nx\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n');
    server.write(
      'HTTP/1.1 200 OK\r\nTrailer: Grpc-Status\r\nTransfer-Encoding: chunked\r\n\r\n1\r\ny\r\n0\r\n' +
        'Grpc-Status: 0\r\nTransfer-Encoding: x\r\nSet-Cookie: s=1\r\n\r\n',
    );
    expect(await client.head()).toContain('Trailer: Grpc-Status');
    expect((await client.until('\r\n\r\n')).toString()).toBe('1\r\ny\r\n0\r\nGrpc-Status: 0\r\n\r\n');
  });

  test('a Trailer field where none can follow is dropped', async () => {
    const { head } = await forward('POST / HTTP/1.1\r\nHost: a\r\nTrailer: T\r\nContent-Length: 1\r\n\r\nx');
    expect(head.slice(1)).toEqual(['Host: a', 'Content-Length: 1', 'Connection: keep-alive']);
    const second = await answer('HTTP/1.1 200 OK\r\nTrailer: T\r\nContent-Length: 0\r\n\r\n');
    expect(second.head.join()).not.toContain('Trailer');
  });
});

describe('interim answers', () => {
  const expecting = 'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n';

  test('Expect goes on, the upstream’s 100 comes back, the body follows, the connection stays', async () => {
    const { client, server, head, proxy } = await forward(expecting);
    expect(head).toContain('Expect: 100-continue');
    expect(client.received).toHaveLength(0);
    server.write('HTTP/1.1 100 Continue\r\n\r\n');
    expect(await client.head()).toEqual(['HTTP/1.1 100 Continue']);
    client.write('abc');
    await server.until('abc');
    server.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    expect(await client.head()).toContain('Connection: keep-alive');
    expect(await proxy.nextResult()).toMatchObject({ status: 200, bytesFromClient: 3 });
  });

  test('a final answer instead of 100 is passed on, the body is not waited for', async () => {
    const { client, server, proxy } = await forward(expecting);
    server.write('HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig');
    const head = await client.head();
    expect(head[0]).toBe('HTTP/1.1 413 Too Large');
    expect(head).toContain('Connection: close');
    expect((await client.rest()).toString()).toBe('big');
    client.end();
    expect(await proxy.nextResult()).toMatchObject({ status: 413, bytesFromClient: 0 });
    // The request on it was never finished: nobody else may use that connection.
    await server.ended;
  });

  test('a client that does not wait for 100 has its body passed at once', async () => {
    const { server } = await forward(`${expecting}abc`);
    await server.until('abc');
  });

  test('an expectation beside bytes beyond ASCII is met here', async () => {
    const { client, server, head } = await forward(
      'POST / HTTP/1.1\r\nHost: a\r\nX: \xe9\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n',
    );
    expect(head).toEqual([
      'POST / HTTP/1.1',
      'Host: a',
      'X: \xe9',
      'Content-Length: 3',
      'Connection: keep-alive',
    ]);
    expect(await client.head()).toEqual(['HTTP/1.1 100 Continue']);
    client.write('abc');
    await server.until('abc');
  });

  test('HTTP/1.0 knows no Expect', async () => {
    const { head } = await forward(expecting.replace('HTTP/1.1', 'HTTP/1.0') + 'abc');
    expect(head.join()).not.toMatch(/expect/i);
  });

  test('103 and others are passed on, in order, before the final head', async () => {
    const { client, server, head } = await answer(
      'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nLink: </b.css>\r\nConnection: X\r\nX: 1\r\n\r\n',
    );
    expect(head).toEqual(['HTTP/1.1 103 Early Hints', 'Link: </a.css>; rel=preload', 'Link: </b.css>']);
    server.write('HTTP/1.1 199 Odd\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    expect(await client.head()).toEqual(['HTTP/1.1 199 Odd']);
    expect((await client.head())[0]).toBe('HTTP/1.1 200 OK');
  });

  test('one that cannot be written is an error', async () => {
    const { proxy, head } = await answer(
      'HTTP/1.1 103 A\x01B\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
    );
    expect(head[0]).toBe('HTTP/1.1 502 Bad Gateway');
    expect((await proxy.nextResult()).error?.code).toBe('UPSTREAM_ANSWER_MALFORMED');
  });

  test('an HTTP/1.0 client gets the final answer only', async () => {
    const { head } = await answer(
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
      'GET / HTTP/1.0\r\nHost: a\r\n\r\n',
    );
    expect(head[0]).toBe('HTTP/1.1 200 OK');
  });

  test('in a pipeline an interim answer waits for its turn', async () => {
    const { backend, client } = await wire();
    client.write('GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n');
    const [first, second] = [await backend.accept(), await backend.accept()];
    await first.head();
    await second.head();
    second.write('HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2');
    first.write('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1');
    await client.head();
    expect((await client.take(1)).toString()).toBe('1');
    expect((await client.head())[0]).toBe('HTTP/1.1 103 Early Hints');
    expect((await client.head())[0]).toBe('HTTP/1.1 200 OK');
    expect((await client.take(1)).toString()).toBe('2');
  });
});

describe('a 101 that nobody asked for', () => {
  const requests: Array<[name: string, request: string]> = [
    ['GET', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['GET that asked for h2c', 'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'],
    [
      'POST that asked for an upgrade',
      'POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc',
    ],
  ];
  const answers: Array<[name: string, response: string]> = [
    ['with Upgrade', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'],
    ['without Upgrade', 'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
    ['with a length', 'HTTP/1.1 101 Switching Protocols\r\nContent-Length: 60\r\n\r\n'],
  ];
  const matrix = requests.flatMap(([to, request]) =>
    answers.map(([how, response]) => [how, to, request, response] as const),
  );
  test.each(matrix)('%s, to a %s', async (_how, _to, request, response) => {
    const { client, server, proxy } = await forward(request);
    server.write(`${response}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret`);
    client.write('GET /internal HTTP/1.1\r\nHost: a\r\n\r\n');
    const answered = (await client.rest()).toString();
    expect(answered).toMatch(/^HTTP\/1\.1 502 Bad Gateway\r\n/);
    expect(answered).toContain('502 UPSTREAM_SWITCH_UNEXPECTED\n');
    expect(answered).not.toContain('secret');
    await server.ended;
    expect(server.received.toString()).not.toContain('/internal');
    client.end();
    const result = await proxy.nextResult();
    expect(result).toMatchObject({ status: 502 });
    expect(result.error?.code).toBe('UPSTREAM_SWITCH_UNEXPECTED');
  });
});

test('a real client and a real server see each other’s messages', async () => {
  const backend = await startBackend((req, res) => {
    const body: Buffer[] = [];
    req.on('data', (chunk: Buffer) => body.push(chunk));
    req.on('end', () => {
      res.writeHead(201, { 'content-type': 'application/json', etag: '"1"' });
      res.end(JSON.stringify({ method: req.method, url: req.url, body: Buffer.concat(body).toString() }));
    });
  });
  const proxy = await startHttpProxy([backend.url]);
  const response = await fetch(`${proxy.url}/items?x=1`, { method: 'PUT', body: 'häagen' });
  expect(response.status).toBe(201);
  expect(response.headers.get('etag')).toBe('"1"');
  expect(await response.json()).toEqual({ method: 'PUT', url: '/items?x=1', body: 'häagen' });
});
