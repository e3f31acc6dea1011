import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { ConfigInput } from '../../src/config/schema.js';
import { writeProxyHeader } from '../../src/protocol/proxy-header/write.js';
import { ProxyHeaderReader } from '../../src/protocol/proxy-header/read.js';
import { type ProxyHeader, proxyVersions, type ProxyVersion } from '../../src/protocol/proxy-header/types.js';
import { authority, authorityFile, certificate, certificateFile } from '../fixtures/certificates.js';
import { hixie76Head, hixieVectors } from '../fixtures/hixie.js';
import { refusedPort, startBackend } from '../fixtures/http-backend.js';
import { startProxy } from '../fixtures/proxy.js';
import { RawPeer } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';
import { frames, headOf, switchHead, upgradeHead } from '../fixtures/rfc6455.js';
import { running } from '../fixtures/running.js';

const client: ProxyHeader = {
  kind: 'tcp',
  source: { address: '192.0.2.7', port: 4711 },
  destination: { address: '203.0.113.1', port: 443 },
};
const GET = headOf('GET / HTTP/1.1', 'Host: example.com', 'Connection: close');

describe.each(['auto', 'stream'] as const)('in, relay %s', (relay) => {
  async function start(listener: Partial<Listener> = {}, to?: string) {
    const app = await RawServer.listen();
    const proxy = await running(
      startProxy({
        listeners: [
          { address: '127.0.0.1:0', trustedProxies: '127.0.0.1', proxyProtocol: true, ...listener },
        ],
        routes: [{ to: to ?? app.url }],
        relay,
      }),
    );
    return { app, proxy };
  }

  test.each(['v1', 'v2'] as const)('%s: the client is whom the header names', async (version) => {
    const { app, proxy } = await start();
    const peer = await RawPeer.connect(proxy.port);
    peer.write(writeProxyHeader(version, client));
    peer.write(upgradeHead('example.com'));
    peer.writeHex(frames.maskedHello);
    const server = await app.accept();
    const head = await server.head();
    expect(head).toContain('X-Forwarded-For: 192.0.2.7');
    expect(head).toContain('X-Forwarded-Proto: http');
    server.write(switchHead());
    server.writeHex(frames.hello);
    expect((await server.take(11)).toString('hex')).toBe(frames.maskedHello);
    await peer.head();
    expect((await peer.take(7)).toString('hex')).toBe(frames.hello);
    server.end();
    peer.end();
    expect(await proxy.nextRecord()).toMatchObject({ client: '192.0.2.7', status: 101 });
  });

  test('in one packet with the request, and a byte at a time', async () => {
    const backend = await startBackend((req, res) => res.end(req.headers['x-forwarded-for']));
    const { proxy } = await start({}, backend.url);
    for (const version of ['v1', 'v2'] as const) {
      const bytes = Buffer.concat([writeProxyHeader(version, client), Buffer.from(GET)]);
      const whole = await RawPeer.connect(proxy.port);
      whole.write(bytes);
      expect((await whole.rest()).toString()).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*192\.0\.2\.7$/);
      const slow = await RawPeer.connect(proxy.port);
      await slow.writeSlowly(Array.from(bytes, (byte) => Buffer.from([byte])));
      expect((await slow.rest()).toString()).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*192\.0\.2\.7$/);
    }
  });

  test('a client that has said all it had to say', async () => {
    const { app, proxy } = await start();
    const peer = await RawPeer.connect(proxy.port);
    peer.write(Buffer.concat([writeProxyHeader('v2', client), Buffer.from(upgradeHead('a.b'))]));
    const server = await app.accept();
    await server.head();
    const none = await RawPeer.connect(proxy.port);
    none.write(writeProxyHeader('v2', client));
    none.end();
    expect(await none.rest()).toHaveLength(0);
    server.write(switchHead());
    peer.end();
    await peer.head();
    server.end();
    await peer.rest();
    expect(await proxy.nextRecord()).toMatchObject({ client: '192.0.2.7', status: 101 });
    expect(proxy.records).toHaveLength(1);
  });

  test('TLS that the balancer has ended is believed', async () => {
    const { app, proxy } = await start();
    const peer = await RawPeer.connect(proxy.port);
    const tls = { version: 'TLSv1.3', certificate: undefined };
    peer.write(Buffer.concat([writeProxyHeader('v2', { ...client, tls }), Buffer.from(upgradeHead('a.b'))]));
    expect(await (await app.accept()).head()).toContain('X-Forwarded-Proto: https');
  });

  test('a header about the balancer itself leaves its address', async () => {
    const { app, proxy } = await start();
    const peer = await RawPeer.connect(proxy.port);
    peer.write(writeProxyHeader('v2', { kind: 'local' }));
    peer.write(upgradeHead('example.com', ['X-Forwarded-For: 192.0.2.66']));
    expect(await (await app.accept()).head()).toContain('X-Forwarded-For: 192.0.2.66, 127.0.0.1');
  });

  test.each<[string, ProxyVersion, ProxyHeader, string]>([
    ['v1 UNKNOWN', 'v1', { kind: 'unknown' }, '127.0.0.1'],
    ['v2 AF_UNSPEC', 'v2', { kind: 'unknown' }, '127.0.0.1'],
    ['v2 AF_UNIX', 'v2', { kind: 'unix' }, 'unix'],
  ])('%s: a client without a name is nobody to be trusted', async (_, version, header, address) => {
    const { app, proxy } = await start({ trustedProxies: ['127.0.0.1', 'unix'] });
    const peer = await RawPeer.connect(proxy.port);
    peer.write(writeProxyHeader(version, header));
    peer.write(upgradeHead('example.com', ['X-Forwarded-For: 192.0.2.66']));
    expect(await (await app.accept()).head()).toContain(`X-Forwarded-For: ${address}`);
  });

  test('X-Forwarded-* is believed from whom the header names, not from whom it comes', async () => {
    const claim = ['X-Forwarded-For: 192.0.2.66'];
    const { app, proxy } = await start({
      trustedProxies: '198.51.100.0/24',
      proxyProtocol: { from: '127.0.0.1' },
    });
    const liar = await RawPeer.connect(proxy.port);
    liar.write(writeProxyHeader('v2', client));
    liar.write(upgradeHead('example.com', claim));
    expect(await (await app.accept()).head()).toContain('X-Forwarded-For: 192.0.2.7');
    const cdn = await RawPeer.connect(proxy.port);
    cdn.write(writeProxyHeader('v2', { ...client, source: { address: '198.51.100.9', port: 1 } }));
    cdn.write(upgradeHead('example.com', claim));
    const second = await app.accept();
    expect(await second.head()).toContain('X-Forwarded-For: 192.0.2.66, 198.51.100.9');
    cdn.destroy();
    expect(await proxy.nextRecord()).toMatchObject({ client: '192.0.2.66' });
  });

  test('limits go by the client', async () => {
    const { app, proxy } = await start({ limits: { connectionsPerAddress: 1 } });
    const open = async (address: string) => {
      const peer = await RawPeer.connect(proxy.port);
      peer.write(writeProxyHeader('v1', { ...client, source: { address, port: 1 } }));
      peer.write(upgradeHead('example.com'));
      return peer;
    };
    const first = await open('192.0.2.1');
    (await app.accept()).write(switchHead());
    await first.head();
    expect((await (await open('192.0.2.1')).head())[0]).toContain('429');
    const second = await open('192.0.2.2');
    (await app.accept()).write(switchHead());
    expect((await second.head())[0]).toContain('101');
  });

  test.each<[string, string | Buffer, RegExp]>([
    ['no header', GET, /^the PROXY header from 127\.0\.0\.1 is missing$/],
    ['a handshake without one', upgradeHead('example.com'), /is missing/],
    ['TLS', Buffer.from('1603010200', 'hex'), /is missing/],
    ['a lie about its family', `PROXY TCP4 ::1 ::1 1 2\r\n${GET}`, /no TCP4 address/],
    ['a line that is too long', `PROXY UNKNOWN ${'x'.repeat(100)}\r\n${GET}`, /no CRLF within 107 bytes/],
    [
      'a header that is too large',
      Buffer.from('0d0a0d0a000d0a515549540a2111ffff', 'hex'),
      /65551 bytes long/,
    ],
  ])('%s: cut, without a byte of an answer', async (_, bytes, detail) => {
    const { app, proxy } = await start();
    const peer = await RawPeer.connect(proxy.port);
    peer.write(bytes);
    expect(await peer.rest()).toHaveLength(0);
    expect(peer.ending).toBe('reset');
    expect(await proxy.nextRecord()).toMatchObject({
      client: '127.0.0.1',
      method: '-',
      status: 400,
      outcome: 'failed(PROXY_HEADER_INVALID)',
      detail: expect.stringMatching(detail) as string,
    });
    expect(app.accepted).toHaveLength(0);
  });

  test('a header that breaks off', async () => {
    const { proxy } = await start();
    const peer = await RawPeer.connect(proxy.port);
    peer.write('PROXY TCP4 192.0.2.7 ');
    peer.end();
    expect(await peer.rest()).toHaveLength(0);
    expect(await proxy.nextRecord()).toMatchObject({
      detail: expect.stringContaining('in the middle') as string,
    });
  });

  test('one that does not come in time', async () => {
    const { proxy } = await start({ proxyProtocol: { timeout: '50ms' } });
    const silent = await RawPeer.connect(proxy.port);
    expect(await silent.rest()).toHaveLength(0);
    const slow = await RawPeer.connect(proxy.port);
    slow.write('PROXY ');
    expect(await slow.rest()).toHaveLength(0);
    for (const peer of [silent, slow]) {
      expect(peer.ending).toBe('reset');
      expect(await proxy.nextRecord()).toMatchObject({
        client: '127.0.0.1',
        status: 408,
        outcome: 'failed(PROXY_HEADER_TIMEOUT)',
        detail: 'the PROXY header from 127.0.0.1 was not complete within 50 ms',
      });
    }
  });

  test('whoever only looks whether the port is open is no news', async () => {
    const { app, proxy } = await start();
    const peer = await RawPeer.connect(proxy.port);
    peer.end();
    expect(await peer.rest()).toHaveLength(0);
    const next = await RawPeer.connect(proxy.port);
    next.write(Buffer.concat([writeProxyHeader('v1', client), Buffer.from(upgradeHead('a.b'))]));
    (await app.accept()).destroy();
    await next.head();
    expect(proxy.records).toHaveLength(1);
  });

  test('from anybody else it is no header but nonsense', async () => {
    const { app, proxy } = await start({ trustedProxies: '198.51.100.1' });
    for (const version of ['v1', 'v2'] as const) {
      const liar = await RawPeer.connect(proxy.port);
      liar.write(Buffer.concat([writeProxyHeader(version, client), Buffer.from(GET)]));
      expect((await liar.head())[0]).toBe('HTTP/1.1 400 Bad Request');
      expect(await proxy.nextRecord()).toMatchObject({ client: '127.0.0.1' });
    }
    const honest = await RawPeer.connect(proxy.port);
    honest.write(upgradeHead('example.com'));
    expect(await (await app.accept()).head()).toContain('X-Forwarded-For: 127.0.0.1');
  });

  test('a reload may turn it on and off', async () => {
    const { app, proxy } = await start({ proxyProtocol: false });
    const listener = { address: '127.0.0.1:0', trustedProxies: '127.0.0.1' };
    const talk = async (bytes: string) => {
      const peer = await RawPeer.connect(proxy.port);
      peer.write(bytes);
      return await (await app.accept()).head();
    };
    const header = writeProxyHeader('v1', client).toString();
    expect(await talk(upgradeHead('a.b'))).toContain('X-Forwarded-For: 127.0.0.1');
    await proxy.proxy.reload({
      listeners: [{ ...listener, proxyProtocol: true }],
      routes: [{ to: app.url }],
      relay,
    });
    expect(await talk(`${header}${upgradeHead('a.b')}`)).toContain('X-Forwarded-For: 192.0.2.7');
    await proxy.proxy.reload({ listeners: [listener], routes: [{ to: app.url }], relay });
    expect(await talk(upgradeHead('a.b'))).toContain('X-Forwarded-For: 127.0.0.1');
  });

  test.each(['http/1.1', 'h2'])('before TLS, %s behind it', async (protocol) => {
    const backend = await startBackend((req, res) =>
      res.end([req.headers['x-forwarded-for'], req.headers['x-forwarded-proto']].join(' ')),
    );
    const pem = certificateFile('chat');
    const tls = { certificates: { cert: pem, key: pem } };
    const { proxy } = await start({ tls, http2: true }, backend.url);
    for (const version of proxyVersions) {
      const below = await RawPeer.connect(proxy.port);
      // In one packet with the first of TLS, or cut anywhere.
      below.socket.removeAllListeners('data');
      const header = writeProxyHeader(version, client);
      below.write(header.subarray(0, 5));
      if (version === 'v2') below.socket.cork();
      below.write(header.subarray(5));
      const socket = connectTls({
        socket: below.socket,
        servername: 'chat.example.test',
        ca: authority,
        ALPNProtocols: [protocol],
      });
      below.socket.uncork();
      const answered = protocol === 'h2' ? getByHttp2(socket) : getByHttp1(socket);
      expect(await answered).toMatch(/192\.0\.2\.7 https$/);
      expect(await proxy.nextRecord()).toMatchObject({
        client: '192.0.2.7',
        via: protocol === 'h2' ? 'h2' : 'h1',
      });
    }
    const forgotten = connectTls({ port: proxy.port, host: '127.0.0.1', ca: authority });
    await once(forgotten, 'error');
    expect(await proxy.nextRecord()).toMatchObject({ outcome: 'failed(PROXY_HEADER_INVALID)' });
  });

  test('HTTP/2 without TLS', async () => {
    const backend = await startBackend((req, res) => res.end(req.headers['x-forwarded-for']));
    const { proxy } = await start({ http2: true }, backend.url);
    for (const version of proxyVersions) {
      const peer = await RawPeer.connect(proxy.port);
      peer.socket.removeAllListeners('data');
      peer.write(writeProxyHeader(version, client));
      expect(await getByHttp2(peer.socket)).toBe('192.0.2.7');
      const other = await RawPeer.connect(proxy.port);
      other.write(Buffer.concat([writeProxyHeader(version, client), Buffer.from(GET)]));
      expect((await other.rest()).toString()).toMatch(/192\.0\.2\.7$/);
    }
  });

  test('a stop does not wait for headers', async () => {
    const { proxy } = await start();
    const peer = await RawPeer.connect(proxy.port);
    await peer.writeSlowly(['PROXY ']);
    await proxy.proxy.stop({ timeoutMs: 10_000 });
    expect(await peer.rest()).toHaveLength(0);
  });
});

describe.each(['auto', 'stream'] as const)('out, relay %s', (relay) => {
  async function start(upstream: Partial<UpstreamObject>, listener: Partial<Listener> = {}) {
    const app = await RawServer.listen();
    const proxy = await running(
      startProxy({
        listeners: [{ address: '127.0.0.1:0', ...listener }],
        upstreams: { app: { servers: app.url, ...upstream } },
        routes: [{ to: 'app' }],
        relay,
      }),
    );
    return { app, proxy };
  }

  test.each(proxyVersions)(
    '%s before a WebSocket: in one packet with the handshake',
    async (proxyProtocol) => {
      const { app, proxy } = await start({ proxyProtocol });
      const peer = await RawPeer.connect(proxy.port);
      peer.write(upgradeHead('example.com'));
      const server = await app.accept();
      const packet = once(server.socket, 'data') as Promise<[Buffer]>;
      const { header, rest } = readHeader((await packet)[0])!;
      expect(header).toEqual({
        kind: 'tcp',
        source: { address: '127.0.0.1', port: peer.socket.localPort },
        destination: { address: '127.0.0.1', port: proxy.port },
      });
      expect(rest.toString()).toMatch(/^GET \/chat\?room=1 HTTP\/1\.1\r\n[^]*\r\n\r\n$/);
      await server.until('GET ');
      await server.head();
      server.write(switchHead());
      server.writeHex(frames.hello);
      await peer.head();
      expect((await peer.take(7)).toString('hex')).toBe(frames.hello);
      peer.writeHex(frames.maskedHello);
      expect((await server.take(11)).toString('hex')).toBe(frames.maskedHello);
    },
  );

  test('before a handshake of Hixie-76, with its key3', async () => {
    const { app, proxy } = await start({ proxyProtocol: 'v1' });
    const [vector] = hixieVectors;
    const key3 = Buffer.from(vector!.key3, 'hex');
    const peer = await RawPeer.connect(proxy.port);
    peer.write(Buffer.concat([Buffer.from(hixie76Head(vector!, 'example.com')), key3]));
    const server = await app.accept();
    const [packet] = (await once(server.socket, 'data')) as [Buffer];
    expect(readHeader(packet)!.rest.subarray(-8)).toEqual(key3);
  });

  test.each(proxyVersions)('%s before plain requests: a connection for each', async (proxyProtocol) => {
    const { app, proxy } = await start({ proxyProtocol });
    const peer = await RawPeer.connect(proxy.port);
    for (let turn = 0; turn < 2; turn++) {
      peer.write(headOf('POST /x HTTP/1.1', 'Host: a.b', 'Content-Length: 2').concat('hi'));
      const server = await app.accept();
      const received = await server.until('hi');
      const { header, rest } = readHeader(received)!;
      expect(header).toMatchObject({ source: { address: '127.0.0.1', port: peer.socket.localPort } });
      expect(rest.toString()).toMatch(/^POST \/x HTTP\/1\.1\r\n[^]*Connection: close\r\n[^]*hi$/);
      server.write(headOf('HTTP/1.1 200 OK', 'Content-Length: 2').concat('ok'));
      expect((await peer.head())[0]).toBe('HTTP/1.1 200 OK');
      await peer.take(2);
      expect(await server.rest()).toHaveLength(0);
    }
  });

  test('servers behind TLS get it before the TLS', async () => {
    const inner = await startBackend((req, res) => res.end(req.headers['x-forwarded-for']), { secure: true });
    const seen: unknown[] = [];
    const front = await RawServer.listen();
    const tls = { ca: fileURLToPath(new URL('../fixtures/tls/localhost.crt', import.meta.url)) };
    const { proxy } = await start({ servers: `https://127.0.0.1:${front.port}`, proxyProtocol: 'v2', tls });
    const serve = async () => {
      const outside = await front.accept();
      // Whatever this is cut into, behind the header is TLS.
      const header = await outside.take(28);
      seen.push(readHeader(header)!.header);
      const inside = await RawPeer.connect(inner.port);
      inside.write(outside.unread);
      outside.socket.pipe(inside.socket).pipe(outside.socket);
    };
    const serving = serve();
    const peer = await RawPeer.connect(proxy.port);
    peer.write(GET);
    expect((await peer.rest()).toString()).toMatch(/^HTTP\/1\.1 200 OK[^]*127\.0\.0\.1$/);
    await serving;
    const again = serve();
    const second = await RawPeer.connect(proxy.port);
    second.write(upgradeHead('example.com'));
    expect((await second.head())[0]).toMatch(/^HTTP\/1\.1 200/);
    await again;
    expect(seen).toEqual(
      [peer, second].map(({ socket }) => ({
        kind: 'tcp',
        source: { address: '127.0.0.1', port: socket.localPort },
        destination: { address: '127.0.0.1', port: proxy.port },
      })),
    );
  });

  test('who came with a header goes on with it', async () => {
    const { app, proxy } = await start(
      { proxyProtocol: 'v2' },
      { trustedProxies: '127.0.0.1', proxyProtocol: true },
    );
    const tls = { version: 'TLSv1.3', certificate: { isVerified: true, commonName: 'me' } };
    for (const header of [client, { ...client, tls }, { kind: 'unknown' }, { kind: 'unix' }] as const) {
      const peer = await RawPeer.connect(proxy.port);
      peer.write(Buffer.concat([writeProxyHeader('v2', header), Buffer.from(upgradeHead('a.b'))]));
      const received = await (await app.accept()).until('GET ');
      expect(readHeader(received)!.header).toEqual(header);
    }
  });

  test('behind a proxy that is trusted, it is the client that the proxy names', async () => {
    const { app, proxy } = await start({ proxyProtocol: 'v1' }, { trustedProxies: '127.0.0.1' });
    for (const [claim, line] of [
      ['192.0.2.7', `PROXY TCP4 192.0.2.7 127.0.0.1 0 ${proxy.port}`],
      ['2001:db8::7', `PROXY TCP6 2001:db8::7 ::ffff:127.0.0.1 0 ${proxy.port}`],
      ['_hidden', 'PROXY UNKNOWN'],
    ]) {
      const peer = await RawPeer.connect(proxy.port);
      peer.write(headOf('GET / HTTP/1.1', 'Host: a.b', `X-Forwarded-For: ${claim}`));
      expect((await (await app.accept()).head())[0]).toBe(line);
    }
  });

  test('health checks speak for themselves', async () => {
    for (const [proxyProtocol, type] of [
      ['v1', 'http'],
      ['v2', 'http'],
      ['v2', 'tcp'],
      ['v1', 'websocket'],
    ] as const) {
      const { app } = await start({ proxyProtocol, health: { type } });
      const server = await app.accept();
      const bytes = await (type === 'tcp' ? server.rest() : server.until('GET '));
      const { header } = readHeader(bytes)!;
      const own = { address: '127.0.0.1', port: server.socket.remotePort };
      expect(header).toEqual(
        proxyProtocol === 'v2'
          ? { kind: 'local' }
          : { kind: 'tcp', source: own, destination: { address: '127.0.0.1', port: app.port } },
      );
    }
  });

  test('with the TLS of the client, and its certificate', async () => {
    const pem = certificateFile('chat');
    const certificates = { cert: pem, key: pem };
    const { app, proxy } = await start(
      { proxyProtocol: 'v2' },
      { tls: { certificates, clientCertificates: { ca: authorityFile, mode: 'optional' } } },
    );
    for (const own of [{}, { cert: certificate('client'), key: certificate('client') }]) {
      const socket = connectTls({
        port: proxy.port,
        host: '127.0.0.1',
        servername: 'chat.example.test',
        ca: authority,
        ...own,
      });
      onTestFinished(() => void socket.destroy());
      socket.on('error', () => {});
      socket.write(upgradeHead('a.b'));
      const { header } = readHeader(await (await app.accept()).until('GET '))!;
      expect(header).toEqual({
        kind: 'tcp',
        source: { address: '127.0.0.1', port: socket.localPort },
        destination: { address: '127.0.0.1', port: proxy.port },
        tls: {
          version: 'TLSv1.3',
          certificate:
            'cert' in own ? { isVerified: true, commonName: expect.any(String) as string } : undefined,
        },
      });
    }
  });

  test('of a client of HTTP/2', async () => {
    const pem = certificateFile('chat');
    const tls = { certificates: { cert: pem, key: pem } };
    const { app, proxy } = await start({ proxyProtocol: 'v2' }, { tls, http2: true });
    const at = { port: proxy.port, host: '127.0.0.1', servername: 'chat.example.test', ca: authority };
    const socket = connectTls({ ...at, ALPNProtocols: ['h2'] });
    const session = connectHttp2('https://example.com', { createConnection: () => socket });
    onTestFinished(() => session.destroy());
    session.request({ ':path': '/' }).on('error', () => {});
    const { header } = readHeader(await (await app.accept()).until('GET '))!;
    expect(header).toEqual({
      kind: 'tcp',
      source: { address: '127.0.0.1', port: socket.localPort },
      destination: { address: '127.0.0.1', port: proxy.port },
      tls: { version: 'TLSv1.3', certificate: undefined },
    });
  });

  test('a server that cannot be dialled, for either kind of request', async () => {
    const servers = [`http://127.0.0.1:${await refusedPort()}`];
    const { app, proxy } = await start({ servers, proxyProtocol: 'v2' });
    for (const request of [GET, upgradeHead('a.b')]) {
      const peer = await RawPeer.connect(proxy.port);
      peer.write(request);
      expect((await peer.head())[0]).toBe('HTTP/1.1 502 Bad Gateway');
      expect(await proxy.nextRecord()).toMatchObject({ outcome: 'failed(UPSTREAM_CONNECT_FAILED)' });
    }
    expect(app.accepted).toHaveLength(0);
  });

  test.each([
    ['that nobody trusts', 'UPSTREAM_TLS_FAILED', 502],
    ['that never answers', 'UPSTREAM_CONNECT_TIMEOUT', 504],
    ['that goes away', 'UPSTREAM_CONNECT_FAILED', 502],
  ])('a server behind TLS %s, for either kind of request', async (how, code, status) => {
    const secure = await startBackend((_req, res) => res.end(), { secure: true });
    const front = await RawServer.listen();
    const { proxy } = await start({
      servers: `https://127.0.0.1:${front.port}`,
      proxyProtocol: 'v2',
      connectTimeout: how === 'that never answers' ? '100ms' : '10s',
    });
    for (const request of [GET, upgradeHead('a.b')]) {
      const peer = await RawPeer.connect(proxy.port);
      peer.write(request);
      const outside = await front.accept();
      await outside.take(28);
      if (how === 'that goes away') outside.reset();
      if (how === 'that nobody trusts') {
        const inside = await RawPeer.connect(secure.port);
        inside.write(outside.unread);
        outside.socket.pipe(inside.socket).pipe(outside.socket);
      }
      expect((await peer.head())[0]).toContain(String(status));
      expect(await proxy.nextRecord()).toMatchObject({ outcome: `failed(${code})` });
      await outside.ended;
    }
  });

  test('another server is tried, with a header of its own', async () => {
    const app = await RawServer.listen();
    const servers = [`http://127.0.0.1:${await refusedPort()}`, app.url];
    const { proxy } = await start({ servers, proxyProtocol: 'v1' });
    for (let turn = 0; turn < 4; turn++) {
      const peer = await RawPeer.connect(proxy.port);
      peer.write(turn % 2 === 0 ? GET : upgradeHead('a.b'));
      expect((await (await app.accept()).head())[0]).toBe(
        `PROXY TCP4 127.0.0.1 127.0.0.1 ${peer.socket.localPort} ${proxy.port}`,
      );
    }
  });
});

async function getByHttp1(socket: Socket): Promise<string> {
  socket.write(GET);
  return await text(socket);
}

async function getByHttp2(socket: Socket): Promise<string> {
  const session = connectHttp2('http://example.com', { createConnection: () => socket });
  onTestFinished(() => session.destroy());
  const answer = await text(session.request({ ':path': '/' }));
  session.destroy();
  return answer;
}

function readHeader(bytes: Buffer) {
  return new ProxyHeaderReader({ maxBytes: 4096 }).push(bytes);
}

type UpstreamObject = Exclude<NonNullable<ConfigInput['upstreams']>[string], string | string[]>;
type Listener = Exclude<NonNullable<ConfigInput['listeners']>[number], string | number>;
