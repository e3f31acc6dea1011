/** PROXY headers from proxies that a listener trusts. */
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { connect as connectTls } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { ConfigInput } from '../../src/config/schema.js';
import { writeProxyHeader } from '../../src/protocol/proxy-header/write.js';
import { type ProxyHeader, proxyVersions, type ProxyVersion } from '../../src/protocol/proxy-header/types.js';
import { authority, certificateFile } from '../fixtures/certificates.js';
import { startBackend } from '../fixtures/http-backend.js';
import { startProxy } from '../fixtures/proxy.js';
import { RawPeer } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';
import { frames, switchHead, upgradeHead } from '../fixtures/rfc6455.js';
import { running } from '../fixtures/running.js';
import { client, GET } from '../fixtures/proxied-client.js';

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

type Listener = Exclude<NonNullable<ConfigInput['listeners']>[number], string | number>;
