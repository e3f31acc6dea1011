/** Plain requests over HTTP/2 to nginx, HAProxy and Caddy, which pass them on to an app of HTTP/1.1. */
import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import { authorityFile, certificateFile } from '../fixtures/certificates.js';
import { Http2Client } from '../fixtures/http2-client.js';
import { Inbox } from '../fixtures/inbox.js';
import { listening, type Listening } from '../fixtures/listening.js';
import { needCommand } from '../fixtures/need.js';
import { startCaddyWith } from '../fixtures/peers/caddy-config.js';
import { startHaproxyWith } from '../fixtures/peers/haproxy-config.js';
import { startNginx } from '../fixtures/peers/nginx.js';
import { startProxy, type RunningProxy } from '../fixtures/proxy.js';
import { RawPeer } from '../fixtures/raw-peer.js';
import { running, type Stoppable } from '../fixtures/running.js';

const MiB = 1024 * 1024;
const pem = certificateFile('chat');

interface App extends Listening {
  readonly asked: Inbox<IncomingMessage>;
}

interface Way {
  readonly name: string;
  readonly need: ReturnType<typeof needCommand>;
  readonly scheme: 'http' | 'https';
  readonly start: (app: App) => Promise<Stoppable & { readonly port: number }>;
  /** nginx passes on no trailers, and tells nobody over HTTP/2 to go on. */
  readonly isThorough?: boolean;
}

const [nginx, haproxy, caddy] = ['nginx', 'haproxy', 'caddy'].map((name) => needCommand(name)) as [
  Way['need'],
  Way['need'],
  Way['need'],
];

/** `X-Seen` tells the app how the request came. */
const nginxSite =
  (app: App, more = '') =>
  (port: number): string => `
  server {
    listen 127.0.0.1:${port} ssl http2;
    ssl_certificate ${pem};
    ssl_certificate_key ${pem};
    client_max_body_size 0;
    ${more}
    location / {
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_set_header Host $http_host;
      proxy_set_header X-Seen $server_protocol;
      proxy_set_header X-Port $remote_port;
      proxy_set_header Connection "";
      proxy_pass http://127.0.0.1:${app.port};
    }
  }`;

const haproxyConfig = (app: App, bind: string): string => `
frontend door
  mode http
  bind fd@3 ${bind}
  http-request set-header X-Seen HTTP/%[req.ver]
  http-request set-header X-Port %[src_port]
  default_backend app
backend app
  mode http
  server app 127.0.0.1:${app.port}
`;

const caddySite =
  (app: App, scheme: 'http' | 'https') =>
  (port: number): string => `
${scheme}://:${port} {
  bind 127.0.0.1
  ${scheme === 'https' ? `tls ${pem} ${pem}` : ''}
  reverse_proxy 127.0.0.1:${app.port} {
    header_up X-Seen {http.request.proto}
    header_up X-Port {http.request.remote.port}
  }
}`;

const ways: readonly Way[] = [
  {
    name: 'nginx, TLS',
    need: nginx,
    scheme: 'https',
    start: (app) => startNginx({ program: nginx.path!, site: nginxSite(app) }),
  },
  {
    name: 'HAProxy',
    need: haproxy,
    scheme: 'http',
    isThorough: true,
    start: (app) => startHaproxyWith(haproxy.path!, haproxyConfig(app, 'proto h2')),
  },
  {
    name: 'HAProxy, TLS',
    need: haproxy,
    scheme: 'https',
    isThorough: true,
    start: (app) => startHaproxyWith(haproxy.path!, haproxyConfig(app, `ssl crt ${pem} alpn h2,http/1.1`)),
  },
  {
    name: 'Caddy',
    need: caddy,
    scheme: 'http',
    isThorough: true,
    start: (app) => startCaddyWith(caddy.path!, caddySite(app, 'http'), 'protocols h1 h2 h2c'),
  },
  {
    name: 'Caddy, TLS',
    need: caddy,
    scheme: 'https',
    isThorough: true,
    start: (app) => startCaddyWith(caddy.path!, caddySite(app, 'https')),
  },
];

for (const way of ways)
  describe.skipIf(way.need.missing)(`${way.name}${way.need.note}`, () => {
    all(way);
  });

function all({ scheme, start, isThorough = false }: Way): void {
  const house = () => behind(start, scheme);

  test('heads, cookies, statuses without a body', async () => {
    const { proxy, app } = await house();
    const client = await Http2Client.connect(proxy.url);
    const answer = await client.ask({
      ':path': '/seen?a=b',
      ':authority': 'app.example',
      cookie: ['a=1', 'b=2'],
    });
    expect(answer).toMatchObject({ status: 200, rstCode: 0 });
    expect(answer.headers['set-cookie']).toEqual(['a=1; Path=/', 'b=2']);
    const seen = await app.asked.next();
    expect(seen.url).toBe('/seen?a=b');
    expect(seen.headers).toMatchObject({ host: 'app.example', cookie: 'a=1; b=2' });
    expect(seen.headers['x-seen']).toMatch(/^HTTP\/2/);
    const head = await client.ask({ ':path': '/seen', ':method': 'HEAD' });
    expect(head).toMatchObject({ status: 200, body: '', rstCode: 0 });
    expect(await client.ask({ ':path': '/status/204' })).toMatchObject({ status: 204, body: '' });
    expect(await client.ask({ ':path': '/status/304' })).toMatchObject({ status: 304, body: '' });
    const ports = new Set(app.asked.all.map(({ headers }) => headers['x-port']));
    expect(ports.size).toBe(1);
    expect(await proxy.nextRecord()).toMatchObject({ status: 200, via: 'h2' });
  });

  test('bodies of megabytes, up and down at once, each its own', async () => {
    const { proxy } = await house();
    const all = Array.from({ length: 6 }, async (_, i) => {
      const body = randomBytes(2 * MiB + i);
      const answer = await fetch(`${proxy.url}/echo`, { method: 'POST', body });
      expect(hash(Buffer.from(await answer.arrayBuffer()))).toBe(hash(body));
    });
    await Promise.all(all);
  });

  test('events come when they are sent; a client that goes ends them', async () => {
    const { proxy, app } = await house();
    const client = await RawPeer.connect(proxy.port);
    client.write('GET /events HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until('data: 1\n\n');
    const seen = await app.asked.next();
    const gone = new Promise((resolve) => seen.socket.once('close', resolve));
    client.destroy();
    await gone;
    expect(await proxy.nextRecord()).toMatchObject({ outcome: 'failed(CLIENT_GONE)' });
  });

  test('an answer that breaks off is no whole one', async () => {
    const { proxy } = await house();
    const client = await RawPeer.connect(proxy.port);
    client.write('GET /half HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until('half');
    expect((await client.rest()).toString()).toBe('');
    expect(await proxy.nextRecord()).toMatchObject({ outcome: 'failed(UPSTREAM_RESPONSE_ABORTED)' });
  });
  if (!isThorough) return;

  test('trailers of the answer', async () => {
    const { proxy } = await house();
    const client = await Http2Client.connect(proxy.url);
    expect(await client.ask({ ':path': '/trailers', te: 'trailers' })).toMatchObject({
      body: 'text',
      trailers: { 'x-sum': '4' },
    });
  });

  test('Expect: 100-continue', async () => {
    const { proxy } = await house();
    const answer = await new Promise<string>((resolve, reject) => {
      const asking = request(`${proxy.url}/echo`, {
        method: 'POST',
        headers: { Expect: '100-continue', 'Content-Length': 3 },
      });
      asking.on('error', reject);
      asking.on('continue', () => asking.end('abc'));
      asking.on('response', (res) => res.setEncoding('utf8').on('data', resolve));
      asking.flushHeaders();
    });
    expect(answer).toBe('abc');
  });
}

describe.skipIf(nginx.missing)(`nginx${nginx.note}`, () => {
  test('ends its connections after so many requests (GOAWAY): none is lost, whatever the method', async () => {
    const { proxy, app } = await behind(
      (app) => startNginx({ program: nginx.path!, site: nginxSite(app, 'keepalive_requests 50;') }),
      'https',
    );
    const bodies = Array.from({ length: 200 }, (_, i) => `body ${i}`);
    const answers = await Promise.all(
      bodies.map(async (body) => {
        const answer = await fetch(`${proxy.url}/echo`, { method: 'POST', body });
        return `${answer.status} ${await answer.text()}`;
      }),
    );
    expect(answers).toEqual(bodies.map((body) => `200 ${body}`));
    // None twice either.
    expect(app.asked.all).toHaveLength(200);
    const ports = new Set(app.asked.all.map(({ headers }) => headers['x-port']));
    expect(ports.size).toBeGreaterThan(3);
  });

  test('a reload in the middle loses nothing', async () => {
    let peer: Awaited<ReturnType<typeof startNginx>> | undefined;
    const { proxy } = await behind(
      async (app) => (peer = await startNginx({ program: nginx.path!, site: nginxSite(app) })),
      'https',
    );
    const { signal } = peer!;
    const reloading = signal('reload');
    for (let i = 0; i < 200; i++) {
      const answer = await fetch(`${proxy.url}/echo`, { method: 'POST', body: `${i}` });
      expect(`${answer.status} ${await answer.text()}`).toBe(`200 ${i}`);
      if (i === 100) await reloading;
    }
  });
});

async function behind(
  start: Way['start'],
  scheme: Way['scheme'],
): Promise<{ proxy: RunningProxy; app: App }> {
  const app = await running(startApp());
  const peer = await running(start(app));
  const proxy = await running(
    startProxy({
      listeners: [{ address: '127.0.0.1:0', http2: true }],
      upstreams: {
        app: {
          servers: `${scheme}://127.0.0.1:${peer.port}`,
          http2: true,
          ...(scheme === 'https' && { tls: { ca: authorityFile, serverName: 'chat.example.test' } }),
        },
      },
      routes: [{ to: 'app', hostHeader: 'client' }],
    }),
  );
  return { proxy, app };
}

async function startApp(): Promise<App> {
  const asked = new Inbox<IncomingMessage>('what the app was asked');
  const server = createServer((req, res) => {
    asked.push(req);
    answer(req, res);
  });
  return { ...(await listening(server)), asked };
}

function answer(req: IncomingMessage, res: ServerResponse): void {
  const path = req.url ?? '';
  if (path.startsWith('/status/')) res.writeHead(Number(path.slice(8))).end();
  else if (path === '/events') {
    res.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('data: 1\n\n');
  } else if (path === '/half') {
    // Of unknown length, HAProxy 2.6 and Caddy 2.6 would call it whole themselves.
    res
      .writeHead(200, { 'Content-Length': 9 })
      .write('half', () => setTimeout(() => req.socket.resetAndDestroy(), 100));
  } else if (path === '/trailers') {
    res.writeHead(200, { Trailer: 'X-Sum' }).write('text');
    res.addTrailers({ 'X-Sum': '4' });
    res.end();
  } else if (path === '/echo') req.pipe(res);
  else res.writeHead(200, { 'Set-Cookie': ['a=1; Path=/', 'b=2'] }).end('seen');
}

function hash(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
