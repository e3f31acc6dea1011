/** Listeners with TLS, with real clients over real sockets. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { Agent, createServer, get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocketServer } from 'ws';
import type { ConfigInput } from '../../src/config/schema.js';
import type { TlsFailure } from '../../src/observe/record.js';
import { authority, authorityFile, certificate, certificateFile } from '../fixtures/certificates.js';
import { hixie76Answer, hixie76Head, hixieText, hixieVectors } from '../fixtures/hixie.js';
import { startBackend } from '../fixtures/http-backend.js';
import { Inbox } from '../fixtures/inbox.js';
import { listening } from '../fixtures/listening.js';
import { needCommand } from '../fixtures/need.js';
import { connectWs, startWsServer } from '../fixtures/peers/ws.js';
import { type RunningProxy, startProxy } from '../fixtures/proxy.js';
import { RawPeer } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';
import { headOf, upgradeHead } from '../fixtures/rfc6455.js';
import { running } from '../fixtures/running.js';
import { connectSecurely, trusting } from '../fixtures/tls-client.js';

type Listener = Extract<NonNullable<ConfigInput['listeners']>[number], object>;

const chat = { cert: certificateFile('chat'), key: certificateFile('chat') };
const mine = { cert: certificate('client'), key: certificate('client') };

/** One listener with TLS and, as the second, a plain one. */
async function secureProxy(to: string, listener: Partial<Listener> = {}): Promise<SecureProxy> {
  const listeners: Listener[] = [
    { address: '127.0.0.1:0', tls: { certificates: chat }, ...listener },
    { address: '127.0.0.1:0' },
  ];
  const proxy = await running(startProxy({ listeners, routes: [{ to, websocket: {} }] }));
  const failures = new Inbox<TlsFailure>('failures of TLS');
  proxy.proxy.on('tls.failed', (failure) => failures.push(failure));
  return { ...proxy, plainPort: proxy.proxy.listeners[1]!.port, failures };
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-tls-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

interface SecureProxy extends RunningProxy {
  readonly plainPort: number;
  readonly failures: Inbox<TlsFailure>;
}

describe('wss', () => {
  test('a WebSocket over TLS, and one without at the other listener', async () => {
    const server = await running(startWsServer());
    const { port, plainPort, nextRecord } = await secureProxy(server.url);
    const ends = [
      await running(connectWs(`wss://127.0.0.1:${port}/live`, [], trusting)),
      await running(connectWs(`ws://127.0.0.1:${plainPort}/live`)),
    ];
    for (const [at, end] of ends.entries()) {
      const { request } = await server.ends.next();
      expect(request!.headers['x-forwarded-proto']).toBe(at === 0 ? 'https' : 'http');
      expect(request!.headers['x-forwarded-for']).toBe('127.0.0.1');
      const large = 'x'.repeat(300_000);
      end.socket.send(large);
      expect(await end.messages.next()).toBe(large);
      end.socket.close(1000);
      await end.closed;
      expect(await nextRecord()).toMatchObject({
        client: '127.0.0.1',
        path: '/live',
        via: 'h1',
        status: 101,
        messagesFromClient: 1,
        messagesFromUpstream: 1,
        outcome: 'client-closed',
      });
    }
  });

  test('a Hixie-76 client is told the wss: location that it has dialled', async () => {
    const vector = hixieVectors[0]!;
    const backend = await RawServer.listen();
    const { port } = await secureProxy(backend.url);
    const client = await connectSecurely(port);
    client.write(hixie76Head(vector, `chat.example.test:${port}`));
    client.writeHex(vector.key3);
    const server = await backend.accept();
    await server.head();
    await server.take(8);
    server.write(hixie76Answer(`ws://127.0.0.1:${backend.port}/socket.io/websocket`));
    server.writeHex(vector.challenge);
    expect(await client.head()).toEqual([
      'HTTP/1.1 101 WebSocket Protocol Handshake',
      'Upgrade: WebSocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Origin: http://example.com',
      `Sec-WebSocket-Location: wss://chat.example.test:${port}/socket.io/websocket`,
    ]);
    expect((await client.take(16)).toString('hex')).toBe(vector.challenge);
    server.writeHex(hixieText('hello'));
    expect((await client.take(7)).toString('hex')).toBe(hixieText('hello'));
  });
});

describe('https', () => {
  test('requests on one connection', async () => {
    const backend = await startBackend((req, res) =>
      res.end(`${req.url} ${String(req.headers['x-forwarded-proto'])}`),
    );
    const { port } = await secureProxy(backend.url);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const ports = new Set<number | undefined>();
    for (const path of ['/1', '/2', '/3']) {
      const request = get({ host: '127.0.0.1', port, path, agent, ...trusting });
      request.once('socket', (socket) => ports.add(socket.localPort));
      const [response] = (await once(request, 'response')) as [AsyncIterable<Buffer>];
      let body = '';
      for await (const chunk of response) body += String(chunk);
      expect(body).toBe(`${path} https`);
    }
    expect(ports.size).toBe(1);
  });

  const curl = needCommand('curl');
  test.skipIf(curl.missing)(`curl${curl.note}`, async () => {
    const backend = await startBackend((req, res) => res.end(`hello ${req.headers.host}`));
    const { port } = await secureProxy(backend.url);
    const name = `chat.example.test:${port}`;
    const { stdout } = await promisify(execFile)(curl.path!, [
      '--silent',
      '--show-error',
      ...['--noproxy', '*', '--cacert', authorityFile, '--resolve', `${name}:127.0.0.1`],
      `https://${name}/`,
    ]);
    expect(stdout).toBe(`hello ${name}`);
  });

  const openssl = needCommand('openssl');
  test.skipIf(openssl.missing).each(['-tls1_2', '-tls1_3'])(
    `openssl resumes its session: %s${openssl.note}`,
    async (version) => {
      const backend = await startBackend((_req, res) => res.end('hello'));
      const { port } = await secureProxy(backend.url);
      const file = join(temporaryFolder(), 'session');
      const ask = async (...options: string[]): Promise<string> => {
        const where = ['-connect', `127.0.0.1:${port}`, '-servername', 'chat.example.test'];
        const args = ['s_client', ...where, '-CAfile', authorityFile, '-ign_eof', version, ...options];
        const done = promisify(execFile)(openssl.path!, args);
        done.child.stdin!.end('GET / HTTP/1.0\r\nHost: chat.example.test\r\n\r\n');
        const { stdout } = await done;
        expect(stdout).toContain('hello');
        return /^(?:New|Reused),/m.exec(stdout)![0];
      };
      expect(await ask('-sess_out', file)).toBe('New,');
      expect(await ask('-sess_in', file)).toBe('Reused,');
    },
  );

  test('what never says hello is cut, and leaves nothing', async () => {
    const { port, proxy, failures, records } = await secureProxy('http://127.0.0.1:1', {
      headerTimeout: '1s',
    });
    const silent = await RawPeer.connect(port);
    const half = await RawPeer.connect(port);
    half.writeHex('1603010200010001fc0303');
    await Promise.all([silent.ended, half.ended]);
    for (let i = 0; i < 2; i++) {
      const listener = proxy.listeners[0]!.id;
      expect(await failures.next()).toEqual({ listener, address: '127.0.0.1', reason: 'it took too long' });
    }
    expect(records).toEqual([]);
  });

  test('a stop cuts handshakes, and waits for nobody there', async () => {
    const { port, proxy, failures } = await secureProxy('http://127.0.0.1:1');
    const half = await RawPeer.connect(port);
    half.writeHex('1603010200010001fc0303');
    // Whoever came later has come through: the other one has been accepted.
    await connectSecurely(port);
    await proxy.stop({ timeoutMs: 60_000 });
    await half.ended;
    expect(failures.all).toEqual([]);
  });

  test('plain HTTP at a listener with TLS comes to nothing', async () => {
    const { port, failures } = await secureProxy('http://127.0.0.1:1');
    const lost = await RawPeer.connect(port);
    lost.write(headOf('GET / HTTP/1.1', 'Host: a.example'));
    await lost.ended;
    expect(await failures.next()).toMatchObject({ reason: 'http request' });
  });
});

describe('client certificates', () => {
  const clientCertificates = { ca: authorityFile, header: 'Client-Cert', subjectHeader: 'X-Subject' };
  const subject = String.raw`CN=Zo\C3\AB \+ Ada,O=Example\, \"Ltd\"`;
  const forged = [
    'Client-Cert: :AAAA:',
    'client_cert: :AAAA:',
    'CLIENT-CERT-CHAIN: :AAAA:',
    'X-Subject: CN=root',
    'x_subject: CN=root',
  ];

  const told = (lines: readonly string[]): string[] =>
    lines.filter((line) => /^(?:client.cert|x.subject)/i.test(line));
  const truth = [
    `Client-Cert: :${mine.cert.split(/-----(?:BEGIN|END) CERTIFICATE-----/)[1]!.replaceAll('\n', '')}:`,
    `X-Subject: ${subject}`,
  ];

  test('required: nobody else comes in', async () => {
    const { port, failures } = await secureProxy('http://127.0.0.1:1', {
      tls: { certificates: chat, clientCertificates },
    });
    const nobody = await connectSecurely(port).catch(() => undefined);
    await nobody?.ended;
    expect(nobody?.received ?? Buffer.alloc(0)).toHaveLength(0);
    expect((await failures.next()).reason).toBe('peer did not return a certificate');
    const stranger = certificate('stranger');
    const strange = await connectSecurely(port, { cert: stranger, key: stranger }).catch(() => undefined);
    await strange?.ended;
    expect((await failures.next()).reason).toMatch(/DEPTH_ZERO_SELF_SIGNED_CERT$/);
  });

  test.each([
    ['a request', () => headOf('GET / HTTP/1.1', 'Host: a.example', ...forged)],
    ['a handshake', () => upgradeHead('a.example', forged)],
    [
      'a field in Connection',
      () => upgradeHead('a.example', [...forged, 'Connection: client-cert, x-subject']),
    ],
  ])('servers are told, and cannot be lied to: %s', async (_what, head) => {
    const backend = await RawServer.listen();
    const tls = {
      certificates: chat,
      clientCertificates: { ...clientCertificates, mode: 'optional' as const },
    };
    const { port, plainPort } = await secureProxy(backend.url, { tls });
    const asKnown = await connectSecurely(port, mine);
    asKnown.write(head());
    expect(told(await (await backend.accept()).head()).sort()).toEqual(truth);
    for (const client of [await connectSecurely(port), await RawPeer.connect(plainPort)]) {
      client.write(head());
      expect(told(await (await backend.accept()).head())).toEqual([]);
    }
  });

  test('over HTTP/2 as well', async () => {
    const backend = await RawServer.listen();
    const { port } = await secureProxy(backend.url, { tls: { certificates: chat, clientCertificates } });
    const session = connectHttp2(`https://127.0.0.1:${port}`, { ...trusting, ...mine });
    session.on('error', () => {});
    onTestFinished(() => session.destroy());
    const request = session.request({
      ':authority': 'a.example',
      'client-cert': ':AAAA:',
      x_subject: 'CN=root',
    });
    request.on('error', () => {});
    expect(told(await (await backend.accept()).head()).sort()).toEqual(truth);
  });

  test('nor behind a body', async () => {
    const backend = await RawServer.listen();
    const { port } = await secureProxy(backend.url, { tls: { certificates: chat, clientCertificates } });
    const client = await connectSecurely(port, mine);
    client.write(
      headOf(
        'POST / HTTP/1.1',
        'Host: a.example',
        'Transfer-Encoding: chunked',
        'Trailer: X-Subject, X-Fine',
      ) + headOf('0', ...forged, 'X-Fine: yes'),
    );
    const server = await backend.accept();
    expect(told(await server.head()).sort()).toEqual(truth);
    expect(told(await server.head())).toEqual([]);
    expect(server.received.toString('latin1')).toContain('X-Fine: yes');
  });

  test('a session stays whose client it was', async () => {
    const backend = await RawServer.listen();
    const { port } = await secureProxy(backend.url, { tls: { certificates: chat, clientCertificates } });
    const first = await connectSecurely(port, mine);
    const [session] = (await once(first.socket, 'session')) as [Buffer];
    const client = await connectSecurely(port, { session });
    expect((client.socket as TLSSocket).isSessionReused()).toBe(true);
    client.write(upgradeHead('a.example'));
    expect(told(await (await backend.accept()).head()).sort()).toEqual(truth);
  });
});

describe('redirect: https', () => {
  const listeners: Listener[] = [
    { address: '127.0.0.1:0', trustedProxies: '127.0.0.2' },
    { address: '127.0.0.1:0', tls: { certificates: chat } },
  ];

  test('requests and handshakes that are not secure are sent there, the others go on', async () => {
    const backend = await startBackend((_req, res) => res.end('behind'));
    const routes = [{ name: 'away', redirect: 'https' as const }, { to: backend.url }];
    const { port, proxy, nextRecord } = await running(startProxy({ listeners, routes }));
    const client = await RawPeer.connect(port);
    client.write(headOf('GET /a?b=%20c HTTP/1.1', 'Host: Chat.example:8080'));
    const location = 'https://Chat.example/a?b=%20c';
    const head = await client.head();
    expect(head.slice(0, 2)).toEqual(['HTTP/1.1 308 Permanent Redirect', `Location: ${location}`]);
    expect(await client.take(location.length + 1)).toEqual(Buffer.from(`${location}\n`));
    expect(await nextRecord()).toMatchObject({ route: 'away', status: 308 });
    // The connection goes on, to a handshake too.
    client.write(upgradeHead('[::1]:80'));
    expect(await client.head()).toContain('Location: https://[::1]/chat?room=1');

    const secure = await connectSecurely(proxy.listeners[1]!.port);
    secure.write(headOf('GET / HTTP/1.1', 'Host: a.example', 'Connection: close'));
    expect((await secure.rest()).toString()).toMatch(/^HTTP\/1\.1 200 OK[^]*behind/);
    expect(backend.connections).toBe(1);
    // What a trusted proxy says, and nobody else.
    for (const [localAddress, status] of [
      ['127.0.0.1', 308],
      ['127.0.0.2', 200],
    ] as const) {
      const peer = await RawPeer.connect({ port, host: '127.0.0.1', localAddress });
      peer.write(
        headOf('GET / HTTP/1.1', 'Host: a.example', 'X-Forwarded-Proto: https', 'Connection: close'),
      );
      expect((await peer.head())[0]).toContain(String(status));
    }
  });

  test('another port, another status', async () => {
    const routes = [{ redirect: { to: 'https' as const, port: 8443, status: 301 as const } }];
    const { port } = await running(startProxy({ listeners, routes }));
    const client = await RawPeer.connect(port);
    client.write(headOf('OPTIONS * HTTP/1.1', 'Host: a.example'));
    expect(await client.head()).toEqual(
      expect.arrayContaining(['HTTP/1.1 301 Moved Permanently', 'Location: https://a.example:8443/']),
    );
    client.write(headOf('GET / HTTP/1.0'));
    expect((await client.until('HTTP/1.1 400')).toString()).toContain('https://a.example:8443/');
  });
});

describe('TLS to upstreams', () => {
  test('a certificate of our own for servers that ask for one', async () => {
    const pem = certificate('wildcard');
    const clients: string[] = [];
    const server = createServer({ key: pem, cert: pem, ca: authority, requestCert: true }, (req, res) => {
      clients.push((req.socket as TLSSocket).getPeerX509Certificate()!.subject);
      res.end('hello');
    });
    const webSockets = new WebSocketServer({ server });
    webSockets.on('connection', (socket, { socket: below }) => {
      clients.push((below as TLSSocket).getPeerX509Certificate()!.subject);
      socket.on('message', (message, binary) => socket.send(message, { binary }));
    });
    const { port } = await running(listening(server));
    const knock = async (own: { cert?: string; key?: string }) => {
      const tls = { ca: authorityFile, serverName: 'api.example.test', ...own };
      const proxy = await running(
        startProxy({
          listeners: ['127.0.0.1:0'],
          upstreams: { api: { servers: `https://127.0.0.1:${port}`, tls, retries: 0 } },
          routes: [{ to: 'api', websocket: {} }],
        }),
      );
      return { proxy, status: (await fetch(proxy.url)).status };
    };
    expect((await knock({})).status).toBe(502);
    expect(clients).toEqual([]);
    const { proxy, status } = await knock({
      cert: certificateFile('client'),
      key: certificateFile('client'),
    });
    expect(status).toBe(200);
    const end = await running(connectWs(proxy.url.replace('http', 'ws')));
    end.socket.send('hello');
    expect(await end.messages.next()).toBe('hello');
    expect(new Set(clients)).toEqual(new Set(['O=Example\\, \\"Ltd\\"\nCN=Zoë \\+ Ada']));
    expect(clients).toHaveLength(2);
  });
});
