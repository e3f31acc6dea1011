/** PROXY headers to servers. */
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { ConfigInput } from '../../src/config/schema.js';
import { writeProxyHeader } from '../../src/protocol/proxy-header/write.js';
import { ProxyHeaderReader } from '../../src/protocol/proxy-header/read.js';
import { proxyVersions } from '../../src/protocol/proxy-header/types.js';
import { authority, authorityFile, certificate, certificateFile } from '../fixtures/certificates.js';
import { hixie76Head, hixieVectors } from '../fixtures/hixie.js';
import { startBackend } from '../fixtures/http-backend.js';
import { startProxy } from '../fixtures/proxy.js';
import { RawPeer } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';
import { frames, headOf, switchHead, upgradeHead } from '../fixtures/rfc6455.js';
import { running } from '../fixtures/running.js';
import { client, GET } from '../fixtures/proxied-client.js';
import { quietPort } from '../fixtures/ports.js';

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
    const servers = [`http://127.0.0.1:${await quietPort()}`];
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
    const servers = [`http://127.0.0.1:${await quietPort()}`, app.url];
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

function readHeader(bytes: Buffer) {
  return new ProxyHeaderReader({ maxBytes: 4096 }).push(bytes);
}

type UpstreamObject = Exclude<NonNullable<ConfigInput['upstreams']>[string], string | string[]>;
type Listener = Exclude<NonNullable<ConfigInput['listeners']>[number], string | number>;
