/** PROXY headers with programs that are not ours: from HAProxy, and to HAProxy and nginx. Debian's nginx sends none. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { request, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as requestTls } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, onTestFinished, test } from 'vitest';
import { proxyVersions } from '../../src/protocol/proxy-header/types.js';
import { authority, certificateFile } from '../fixtures/certificates.js';
import { takesPart } from '../fixtures/interop.js';
import { needCommand } from '../fixtures/need.js';
import { startHaproxyWith } from '../fixtures/peers/haproxy-config.js';
import { startNginx } from '../fixtures/peers/nginx.js';
import { startNamedServer } from '../fixtures/peers/named-server.js';
import { connectWs } from '../fixtures/peers/ws.js';
import { startProxy } from '../fixtures/proxy.js';
import { eventually } from '../fixtures/raw-peer.js';
import { running } from '../fixtures/running.js';
import { haproxySoftware, nginxSoftware } from '../fixtures/software.js';

const haproxy = needCommand('haproxy');
const nginx = needCommand('nginx');
/** Clients come from here, proxies from 127.0.0.1. */
const CLIENT = '127.0.0.5';

describe.each(['auto', 'stream'] as const)('relay %s', (relay) => {
  describe.skipIf(haproxy.missing)(`behind HAProxy${haproxy.note}`, () => {
    async function behind(server: string, bind = '', listener: object = {}) {
      takesPart('client', haproxySoftware(), { between: true });
      const app = await running(startNamedServer('app'));
      const proxy = await running(
        startProxy({
          listeners: [
            { address: '127.0.0.1:0', trustedProxies: '127.0.0.1', proxyProtocol: true, ...listener },
          ],
          routes: [{ to: app.url }],
          relay,
        }),
      );
      const to = (place: string) =>
        `listen all\n  mode tcp\n  bind fd@3 ${bind}\n  server tidegate ${place} ${server}\n`;
      const front = await running(startHaproxyWith(haproxy.path!, to(placeOf(proxy, listener))));
      return { app, proxy, port: front.port };
    }

    test.each(['send-proxy', 'send-proxy-v2', 'send-proxy-v2 proxy-v2-options crc32c,unique-id'])(
      '%s',
      async (option) => {
        const { app, proxy, port } = await behind(option);
        await expectEcho(`ws://127.0.0.1:${port}/chat`);
        const { request: seen } = await app.ends.next();
        expect(seen?.headers).toMatchObject({ 'x-forwarded-for': CLIENT, 'x-forwarded-proto': 'http' });
        expect(await proxy.nextRecord()).toMatchObject({ client: CLIENT, status: 101 });
        expect(await ask({ port, headers: { 'X-Forwarded-For': '192.0.2.66' } })).toBe('app');
        expect((await app.requests.next()).headers).toMatchObject({ 'x-forwarded-for': CLIENT });
        expect(await proxy.nextRecord()).toMatchObject({ client: CLIENT, status: 200 });
      },
    );

    test('send-proxy-v2-ssl-cn, which ends TLS', async () => {
      const pem = certificateFile('chat');
      const options =
        'send-proxy-v2-ssl-cn proxy-v2-options crc32c,authority,ssl,cert-cn,ssl-cipher,cert-key,cert-sig';
      const { app, proxy, port } = await behind(options, `ssl crt ${pem}`);
      await expectEcho(`wss://127.0.0.1:${port}/chat`);
      const { request: seen } = await app.ends.next();
      expect(seen?.headers).toMatchObject({ 'x-forwarded-for': CLIENT, 'x-forwarded-proto': 'https' });
      expect(await proxy.nextRecord()).toMatchObject({ client: CLIENT });
      expect(await ask({ port, secure: true })).toBe('app');
      expect((await app.requests.next()).headers).toMatchObject({ 'x-forwarded-proto': 'https' });
    });

    test('send-proxy-v2, with TLS that goes through to Tidegate', async () => {
      const pem = certificateFile('chat');
      const tls = { certificates: { cert: pem, key: pem } };
      const { app, proxy, port } = await behind('send-proxy-v2', '', { tls });
      await expectEcho(`wss://127.0.0.1:${port}/chat`);
      const { request: seen } = await app.ends.next();
      expect(seen?.headers).toMatchObject({ 'x-forwarded-for': CLIENT, 'x-forwarded-proto': 'https' });
      expect(await proxy.nextRecord()).toMatchObject({ client: CLIENT });
    });

    test('send-proxy-v2 to a unix socket', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'tidegate-unix-'));
      onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
      const listener = { address: `unix:${join(folder, 'a.sock')}`, trustedProxies: 'unix' };
      const { proxy, port } = await behind('send-proxy-v2', '', listener);
      await expectEcho(`ws://127.0.0.1:${port}/chat`);
      expect(await proxy.nextRecord()).toMatchObject({ client: CLIENT, status: 101 });
    });

    test.each(['send-proxy', 'send-proxy-v2'])('its health checks, %s', async (option) => {
      const { proxy } = await behind(`${option} check inter 50\n  option httpchk GET /health`);
      expect(await proxy.nextRecord()).toMatchObject({ client: '127.0.0.1', path: '/health', status: 200 });
    });

    test('without its header: refused', async () => {
      const { proxy, port } = await behind('');
      await expect(ask({ port })).rejects.toThrow();
      expect(await proxy.nextRecord()).toMatchObject({
        client: '127.0.0.1',
        outcome: 'failed(PROXY_HEADER_INVALID)',
      });
    });
  });

  describe.each(proxyVersions)('%s', (proxyProtocol) => {
    async function before(server: { readonly port: number }, upstream: object = {}) {
      const proxy = await running(
        startProxy({
          listeners: ['127.0.0.1:0'],
          upstreams: { app: { servers: `http://127.0.0.1:${server.port}`, proxyProtocol, ...upstream } },
          routes: [{ to: 'app' }],
          relay,
        }),
      );
      return proxy;
    }

    describe.skipIf(haproxy.missing)(`before HAProxy with accept-proxy${haproxy.note}`, () => {
      async function start(bind = '', upstream: object = {}) {
        takesPart('server', haproxySoftware(), { between: true });
        const app = await running(startNamedServer('app'));
        const back = await running(
          startHaproxyWith(
            haproxy.path!,
            `listen all
  mode http
  bind fd@3 accept-proxy ${bind}
  http-request set-header X-Source %[src]:%[src_port]
  http-request set-header X-Destination %[dst]:%[dst_port]
  server app 127.0.0.1:${app.port}
`,
          ),
        );
        return { app, back, proxy: await before(back, upstream) };
      }

      test('WebSockets and plain requests', async () => {
        const { app, proxy } = await start();
        const port = await expectEcho(`ws://127.0.0.1:${proxy.port}/chat`);
        const { request: seen } = await app.ends.next();
        const destination = `127.0.0.1:${proxy.port}`;
        expect(seen?.headers).toMatchObject({
          'x-source': `${CLIENT}:${port}`,
          'x-destination': destination,
        });
        for (const localAddress of [CLIENT, '127.0.0.6', CLIENT]) {
          expect(await ask({ port: proxy.port, localAddress })).toBe('app');
          const { headers } = await app.requests.next();
          expect(headers['x-source']).toMatch(new RegExp(`^${localAddress}:\\d+$`));
          expect(headers['x-destination']).toBe(destination);
        }
      });

      test('behind TLS', async () => {
        takesPart('server', haproxySoftware(), { between: true });
        const app = await running(startNamedServer('app'));
        const back = await running(
          startHaproxyWith(
            haproxy.path!,
            `listen all
  mode http
  bind fd@3 accept-proxy ssl crt ${certificateFile('chat')} alpn http/1.1
  http-request set-header X-Source %[src]
  server app 127.0.0.1:${app.port}
`,
          ),
        );
        const proxy = await before(back, {
          servers: `https://127.0.0.1:${back.port}`,
          tls: { verify: false, serverName: 'chat.example.test' },
        });
        await expectEcho(`ws://127.0.0.1:${proxy.port}/chat`);
        expect((await app.ends.next()).request?.headers).toMatchObject({ 'x-source': CLIENT });
        expect(await ask({ port: proxy.port })).toBe('app');
        expect((await app.requests.next()).headers).toMatchObject({ 'x-source': CLIENT });
      });
    });

    test.skipIf(nginx.missing)(`before nginx with listen … proxy_protocol${nginx.note}`, async () => {
      takesPart('server', nginxSoftware(), { between: true });
      const app = await running(startNamedServer('app'));
      const back = await running(
        startNginx({
          program: nginx.path!,
          site: (port, folder) => `
log_format seen '$proxy_protocol_addr:$proxy_protocol_port $request_uri $status $http_user_agent';
server {
  listen 127.0.0.1:${port} proxy_protocol;
  access_log ${folder}/access.log seen;
  location / {
    proxy_pass http://127.0.0.1:${app.port};
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection upgrade;
    proxy_set_header X-Source $proxy_protocol_addr:$proxy_protocol_port;
  }
}
`,
        }),
      );
      const proxy = await before(back, { health: { path: '/health', interval: '100ms' } });
      const port = await expectEcho(`ws://127.0.0.1:${proxy.port}/chat`);
      expect((await app.ends.next()).request?.headers).toMatchObject({ 'x-source': `${CLIENT}:${port}` });
      expect(await ask({ port: proxy.port })).toBe('app');
      expect((await app.requests.next()).headers['x-source']).toMatch(/^127\.0\.0\.5:\d+$/);
      // Its own address in version 1, nobody's in version 2.
      const check = proxyProtocol === 'v1' ? /^127\.0\.0\.1:\d+ \/health 200/m : /^-?:-? \/health 200/m;
      await eventually(() => check.test(back.accessLog()), back.accessLog);
      await eventually(() => back.accessLog().includes(`${CLIENT}:${port} /chat 101`), back.accessLog);
    });
  });
});

function placeOf(proxy: { readonly port: number }, listener: { readonly address?: string }): string {
  return listener.address?.replace('unix:', 'unix@') ?? `127.0.0.1:${proxy.port}`;
}

/** Opens a WebSocket from `CLIENT`, has messages echoed, closes. Returns its port. */
async function expectEcho(url: string): Promise<number> {
  const tls = { ca: authority, servername: 'chat.example.test' };
  const end = await running(connectWs(url, [], { localAddress: CLIENT, ...tls }));
  // oxlint-disable-next-line no-underscore-dangle -- ws has no public way to it
  const { _socket: socket } = end.socket as unknown as { _socket: { localPort: number } };
  const port = socket.localPort;
  expect(await end.messages.next()).toBe('app');
  for (const message of ['hello', 'x'.repeat(100_000)]) {
    end.socket.send(message);
    expect(await end.messages.next()).toBe(message);
  }
  end.socket.close(1000);
  await end.closed;
  return port;
}

async function ask(options: RequestOptions & { port: number; secure?: boolean }): Promise<string> {
  const { secure, ...more } = options;
  const from = { host: '127.0.0.1', localAddress: CLIENT, agent: false as const };
  const asked = secure
    ? requestTls({ ...from, ca: authority, servername: 'chat.example.test', ...more })
    : request({ ...from, ...more });
  asked.end();
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  return await text(answer);
}
