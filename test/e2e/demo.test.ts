import { createHash } from 'node:crypto';
import { existsSync, readdirSync, statSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { type Demo, runDemo } from '../../src/cli/demo/index.js';
import { startSocketIoBackend } from '../../src/cli/demo/socketio-backend.js';
import type { AccessRecord, SessionInfo } from '../../src/observe/record.js';
import { Inbox } from '../fixtures/inbox.js';
import { needChromium, useBrowser } from '../fixtures/peers/browser.js';
import { connectSocketIo } from '../fixtures/peers/socket-io.js';
import { connectWs } from '../fixtures/peers/ws.js';
import { running } from '../fixtures/running.js';

/** `tidegate demo`, used the way its page uses it: everything goes through the proxy's one port. */
const browser = useBrowser();

describe('the demo', () => {
  let demo: Demo;
  const printed: string[] = [];
  const records: AccessRecord[] = [];
  beforeAll(async () => {
    demo = await runDemo({
      port: 0,
      print: (line) => printed.push(line),
      onRecord: (record) => records.push(record),
    });
  });
  afterAll(async () => {
    await demo?.stop();
  });

  test('says what runs where', () => {
    expect(demo.url).toBe(`http://127.0.0.1:${demo.proxy.listeners[0]?.port}/`);
    const text = printed.join('\n');
    expect(demo.httpsUrl).toBe(`https://127.0.0.1:${demo.proxy.listeners[1]?.port}/`);
    expect(text).toContain(`Open ${demo.url}\n`);
    expect(text).toContain(`${demo.httpsUrl} `);
    for (const path of ['/*', '/chat', '/gateway', '/socket.io/*', '/hixie'])
      expect(text).toContain(`  ${path}`);
    expect(text.match(/http:\/\/127\.0\.0\.1:\d+$/gm)).toHaveLength(5);
    expect(text).toContain(publishUrl());
  });

  test.each([
    ['/', 'text/html; charset=utf-8', 'What the proxy saw'],
    ['/css/base.css', 'text/css; charset=utf-8', '--accent'],
    ['/js/main.js', 'text/javascript; charset=utf-8', 'startChat'],
    ['/favicon.svg', 'image/svg+xml', '<svg'],
    ['/socket.io/socket.io.esm.min.js', 'application/javascript; charset=utf-8', 'Socket.IO'],
  ])('serves %s as %s', async (path, type, part) => {
    const response = await fetch(new URL(path, demo.url));
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe(type);
    expect(await response.text()).toContain(part);
  });

  test('serves the page to HEAD without a body, and nothing outside its folder', async () => {
    const head = await fetch(demo.url, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
    expect(Number(head.headers.get('content-length'))).toBeGreaterThan(1000);
    for (const path of ['/nothing', '/%2e%2e/package.json', '/js']) {
      expect((await fetch(new URL(path, demo.url))).status).toBe(404);
    }
    expect((await fetch(demo.url, { method: 'DELETE' })).status).toBe(405);
  });

  test('JSON: what runs where, and the request as the backend got it', async () => {
    const info = (await getJson('/api/info')) as { backends: { name: string; url: string }[] };
    expect(info.backends.map(({ name }) => name)).toEqual(['chat', 'gateway', 'socketio', 'hixie', 'web']);
    const request = (await getJson('/api/request')) as { headers: [string, string][] };
    const headers = new Map(request.headers.map(([name, value]) => [name.toLowerCase(), value]));
    expect(headers.get('host')).toBe(new URL(demo.url).host);
    expect(headers.get('x-forwarded-for')).toBe('127.0.0.1');
  });

  test('server-sent events arrive while the stream is open', async () => {
    const events = await readEvents('/api/pulse');
    const first = (await events.next(({ name }) => name === 'beat')).data as { uptimeMs: number };
    const second = (await events.next(({ name }) => name === 'beat')).data as { uptimeMs: number };
    expect(second.uptimeMs).toBeGreaterThan(first.uptimeMs);
  });

  test('an upload comes back as it went; one that is too large is refused', async () => {
    const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => i % 251);
    const response = await fetch(new URL('/api/upload', demo.url), { method: 'POST', body: bytes });
    expect(response.headers.get('content-type')).toBe('application/octet-stream');
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes);
    const large = new Uint8Array(33 * 1024 * 1024);
    const refused = await fetch(new URL('/api/upload', demo.url), { method: 'POST', body: large });
    expect(refused.status).toBe(413);
  });

  test('two people chat; a third sees the history', async () => {
    const ada = await enter('Ada');
    expect((await ada.hear('welcome'))['nick']).toBe('Ada');
    const grace = await enter('Ada');
    expect((await grace.hear('welcome'))['nick']).toBe('Ada 2');
    ada.say('is it a tunnel?');
    expect(await grace.hear('line')).toMatchObject({ nick: 'Ada', text: 'is it a tunnel?' });
    grace.say('<b>or a gateway?</b>');
    await ada.hear('line');
    expect(await ada.hear('line')).toMatchObject({ nick: 'Ada 2', text: '<b>or a gateway?</b>' });
    for (let i = 1; i <= 25; i++) ada.say(`line ${i}`);
    await grace.hear('line', ({ text }) => text === 'line 25');
    const { history } = await (await enter('Edsger')).hear('welcome');
    const texts = (history as { text: string }[]).map(({ text }) => text);
    expect(texts).toEqual(Array.from({ length: 20 }, (_, i) => `line ${i + 6}`));
    expect((await ada.hear('pong'))['roundTripMs']).toBeGreaterThan(0);
  });

  test('the chat says what it does not take, and stays', async () => {
    const guest = await enter('guest');
    guest.say('x'.repeat(501));
    expect(await guest.hear('problem')).toMatchObject({ text: 'a line may have 500 characters' });
    guest.socket.send('{"type":"dance"}');
    expect(await guest.hear('problem')).toMatchObject({ text: 'that was no message of this chat' });
    guest.say('still here');
    await guest.hear('line', ({ text }) => text === 'still here');
  });

  test('the server closes with 4001 on request, and the feed says who was first', async () => {
    const feed = await readEvents('/demo/events');
    await feed.next(({ name }) => name === 'snapshot');
    const guest = await enter('leaving');
    await guest.hear('welcome');
    const closed = new Promise((resolve) =>
      guest.socket.once('close', (code, why) => resolve([code, String(why)])),
    );
    guest.socket.send('{"type":"close-me"}');
    expect(await closed).toEqual([4001, 'as you asked']);
    const { record } = await closedSession(feed, (record) => record.closeCodeFromUpstream === 4001);
    expect(record).toMatchObject({
      path: '/chat',
      generation: 'rfc6455',
      upstream: 'chat',
      closeCodeFromClient: 4001,
      closedBy: 'upstream',
      outcome: 'upstream-closed',
    });
  });

  test('/binary sends bytes back', async () => {
    const socket = new WebSocket(address('/binary'));
    onTestFinished(() => socket.terminate());
    await opened(socket);
    const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, i) => i % 256));
    const echo = new Promise((resolve) => socket.once('message', resolve));
    socket.send(bytes);
    expect(bytes.equals((await echo) as Buffer)).toBe(true);
  });

  test('the gateway’s chat: what its clients say and hear goes over HTTP, and the feed shows it', async () => {
    const feed = await readEvents('/demo/events');
    await feed.next(({ name }) => name === 'snapshot');
    const ada = await running(connectWs(address('/gateway?name=Ada')));
    const grace = await running(connectWs(address('/gateway?name=Grace')));
    ada.socket.send('is it a <gateway>?');
    for (const { messages } of [ada, grace]) {
      const line = JSON.parse(String(await messages.next())) as Message;
      expect(line).toMatchObject({ name: 'Ada', text: 'is it a <gateway>?' });
    }
    const exchange = async (from: string, path: string, request?: number): Promise<unknown> =>
      (
        await feed.next(({ name, data }) => {
          const { from: by, path: to, request: n } = data as { from: string; path: string; request?: number };
          return name === 'exchange' && by === from && to === path && n === request;
        })
      ).data;
    expect(await exchange('Tidegate', '/gateway?name=Ada', 1)).toMatchObject({
      said: ['OPEN'],
      answered: ['OPEN', 'TEXT 27 c:{"type":"subscribe","channel":"room"}'],
    });
    expect(await exchange('Tidegate', '/gateway?name=Ada', 2)).toMatchObject({
      said: ['TEXT 12 is it a <gateway>?'],
      answered: [],
    });
    expect(await exchange('backend', '/publish/')).toMatchObject({
      said: [expect.stringContaining('"channel":"room"')],
    });
    const formats = { 'ws-message': { content: 'the tide turns' } };
    const body = JSON.stringify({ items: [{ channel: 'room', formats }] });
    expect((await fetch(publishUrl(), { method: 'POST', body })).status).toBe(200);
    expect(await grace.messages.next()).toBe('the tide turns');
    grace.socket.close(4000, 'bye');
    expect(await exchange('Tidegate', '/gateway?name=Grace', 2)).toMatchObject({
      said: ['CLOSE 5 4000 bye'],
    });
    expect((await fetch(new URL('/gateway', demo.url))).status).toBe(426);
  });

  test('socket.io begins with polling and upgrades', async () => {
    const client = await running(connectSocketIo(4, demo.url));
    await client.upgraded;
    expect(client.transport()).toBe('websocket');
    expect(await client.ask('echo', 'ahoy')).toBe('ahoy');
    expect(
      records.filter(({ path, status }) => path === '/socket.io/' && status === 200).length,
    ).toBeGreaterThan(0);
    expect(demo.proxy.sessions.map(({ path }) => path)).toContain('/socket.io/');
  });

  describe.each([
    ['together', ''],
    ['in packets of their own', '&split=1'],
  ])('the client of 2010, head and key bytes %s', (_, split) => {
    test('has a verified conversation, and the feed tells of its session', async () => {
      const feed = await readEvents('/demo/events');
      await feed.next(({ name }) => name === 'snapshot');
      const text = 'tunnel ⇄ gateway?';
      const run = await readEvents(`/demo/hixie?text=${encodeURIComponent(text)}${split}`);
      const verdict = (await run.next(({ name }) => name === 'verdict')).data as Record<string, unknown>;
      const steps = run.all.filter(({ name }) => name === 'step').map(({ data }) => data as Step);

      expect(verdict).toMatchObject({ ok: true });
      expect(verdict).not.toHaveProperty('problem');
      expect(steps.map(({ from, what }) => `${from}: ${what}`)).toEqual([
        'client: request head',
        'client: key bytes',
        'server: answer head',
        'server: challenge',
        'server: text frame',
        'client: text frame',
        'server: text frame',
        'client: close frame',
        'server: close frame',
        'server: end',
      ]);
      const [request, key3, answer, challenge, greeting, said, echoed] = steps as [Step, ...Step[]];
      expect(answer?.head).toMatch(/^HTTP\/1\.1 101 .*\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n/);
      expect(challenge?.hex).toBe(expectedChallenge(request.head ?? '', key3?.hex ?? ''));
      expect(greeting?.text).toMatch(/^~m~16~m~\d{16}$/);
      expect(said?.hex).toBe(`00${Buffer.from(text).toString('hex')}ff`);
      expect(echoed?.hex).toBe(said?.hex);
      // The head and its 8 bytes: one write, or two. The answer, challenge and greeting: always one.
      expect(request.packet === key3?.packet).toBe(split === '');
      expect([answer?.packet, challenge?.packet, greeting?.packet]).toEqual([1, 1, 1]);

      const { record, id } = await closedSession(feed, ({ path }) => path === '/hixie');
      expect(record).toMatchObject({
        status: 101,
        generation: 'hixie-76',
        upstream: 'hixie',
        messagesFromClient: 1,
        messagesFromUpstream: 2,
        closeCodeFromClient: 1005,
        closeCodeFromUpstream: 1005,
        closedBy: 'client',
        outcome: 'client-closed',
      });
      const openedFirst = feedEvents(feed).some(
        (event) => event.type === 'opened' && event.session.id === id,
      );
      expect(openedFirst).toBe(true);
    });
  });

  test('the feed keeps what happened for pages opened later, and does not list its own reading', async () => {
    const { data } = await (await readEvents('/demo/events')).next(({ name }) => name === 'snapshot');
    const { events } = data as { events: FeedEvent[] };
    const paths = events.flatMap((event) => (event.type === 'opened' ? [] : [event.record.path]));
    expect(paths).toContain('/hixie');
    expect(paths).toContain('/api/info');
    expect(paths).not.toContain('/demo/events');
    expect(records.map(({ path }) => path)).toContain('/demo/events');
  });

  test.skipIf(needChromium.missing).each([
    ['http', 'HTTP/1.1. ', 'h1'],
    ['https', 'HTTP/2, TLS; ', 'h2'],
  ] as const)(
    `the page over %s, in Chromium${needChromium.note}`,
    { timeout: 60_000 },
    async (scheme, over, via) => {
      const context = await browser.newContext({
        viewport: { width: 1280, height: 900 },
        ignoreHTTPSErrors: true,
      });
      const page = await context.newPage();
      const complaints: string[] = [];
      page.on('console', (message) => {
        if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
      });
      page.on('pageerror', (error) => complaints.push(String(error)));

      const [here, there] = scheme === 'http' ? [demo.url, demo.httpsUrl] : [demo.httpsUrl, demo.url];
      await page.goto(here);
      await page.locator('#page-over', { hasText: over }).waitFor();
      expect(await page.locator('#page-over a').getAttribute('href')).toBe(there);
      await page.locator('#chat-status', { hasText: 'Open' }).waitFor();
      await page.locator('#feed-status', { hasText: 'Live' }).waitFor();
      await page.locator('#socketio-status', { hasText: 'Open, by websocket' }).waitFor();
      await page.locator('#pulse-status', { hasText: 'Streaming' }).waitFor();

      const line = `<img src=x onerror=alert(1)> & "a line" over ${scheme}`;
      await page.getByLabel('Message').fill(line);
      await page.keyboard.press('Enter');
      await page.locator('#chat-lines .mine .said', { hasText: line }).waitFor();
      expect(await page.locator('#chat-lines img').count()).toBe(0);

      await page.locator('#gateway-status', { hasText: 'Open' }).waitFor();
      const spoken = `<b>over HTTP</b>, from ${scheme}`;
      await page.getByLabel('Line').fill(spoken);
      await page.getByRole('button', { name: 'Send over HTTP' }).click();
      await page.locator('#gateway-lines .mine .said', { hasText: spoken }).waitFor();
      await page.locator('#exchanges .turn.client', { hasText: spoken }).waitFor();
      await page.locator('#exchanges .turn.server', { hasText: 'POST /publish/' }).last().waitFor();

      await page.getByRole('button', { name: 'Echo 64 KiB' }).click();
      await page
        .locator('#chat-lines', { hasText: '64 KiB went to /binary and came back unchanged' })
        .waitFor();

      const rows = page.locator('#closed-sessions tr', { hasText: '/hixie' });
      const rowsBefore = await rows.count();
      await page.getByLabel('Text to be echoed').fill('typed by hand');
      await page.getByRole('button', { name: 'Run it' }).click();
      await page.locator('#hixie-status', { hasText: 'Everything as the draft asks' }).waitFor();
      expect(await page.locator('#hixie-steps .turn.client').count()).toBe(3);
      expect(await page.locator('#hixie-steps .turn.server').count()).toBe(3);
      expect(await page.locator('#hixie-steps').getByText('typed by hand', { exact: true }).count()).toBe(2);
      expect(await page.locator('.checks .ok').count()).toBeGreaterThan(5);
      expect(await page.locator('.checks .not-ok').count()).toBe(0);

      await rows.nth(rowsBefore).waitFor();
      const row = await rows.first().innerText();
      expect(row).toContain('hixie-76');
      expect(row).toContain('1005');
      expect(row).toContain('client closed first');
      const chatRow = page.locator('#open-sessions tr', { hasText: '/chat' }).first();
      await chatRow.locator('.via', { hasText: via }).waitFor();
      await page.locator('#requests tr', { hasText: 'GET /api/info' }).first().waitFor();

      await page.getByRole('button', { name: 'Let the server close (4001)' }).click();
      await page.locator('#chat-lines', { hasText: 'Closed with 4001, “as you asked”.' }).waitFor();
      await page.locator('#chat-lines', { hasText: 'Back again.' }).waitFor();
      expect(await page.locator('#chat-lines .said', { hasText: line }).count()).toBe(1);

      await page.setInputFiles('#upload-file', {
        name: 'notes.txt',
        mimeType: 'text/plain',
        buffer: Buffer.from('ahoy'),
      });
      await page.locator('#upload-result', { hasText: 'notes.txt: 4 B there and back' }).waitFor();
      expect(complaints).toEqual([]);

      // All that the browser did came over the one, and the client of 2010 over a connection of its own.
      const sessions = demo.proxy.sessions.map(({ path, via }) => `${path} ${via}`);
      expect(sessions).toContain(`/chat ${via}`);
      expect(sessions.some((session) => session.startsWith('/gateway') && session.endsWith(via))).toBe(true);
      expect(sessions).toContain(`/socket.io/ ${via}`);
      const { host } = new URL(here);
      const seen = records.filter((record) => record.host === host && record.path !== '/hixie');
      expect(new Set(seen.map((record) => record.via))).toEqual(new Set([via]));
      const paths = seen.map(({ path, status }) => `${path} ${status}`);
      for (const path of ['/ 200', '/chat 101', '/binary 101', '/api/upload 200'])
        expect(paths).toContain(path);
    },
  );

  const publishUrl = (): string => {
    const { port } = demo.proxy.publish as { port: number };
    return `http://127.0.0.1:${port}/publish/`;
  };

  const address = (path: string): string => new URL(path, demo.url).href.replace('http', 'ws');

  async function getJson(path: string): Promise<unknown> {
    return (await fetch(new URL(path, demo.url))).json();
  }

  /** An event stream, read until the test is over. */
  async function readEvents(path: string): Promise<Inbox<Event>> {
    const inbox = new Inbox<Event>(path);
    const reading = new AbortController();
    onTestFinished(() => reading.abort());
    const response = await fetch(new URL(path, demo.url), { signal: reading.signal });
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    void (async () => {
      let unread = '';
      for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
        const blocks = (unread + chunk).split('\n\n');
        unread = blocks.pop()!;
        for (const block of blocks) {
          const found = /^event: (.*)\ndata: (.*)$/.exec(block);
          if (found !== null) inbox.push({ name: found[1]!, data: JSON.parse(found[2]!) });
        }
      }
    })().then(
      () => inbox.end('its end'),
      (error: unknown) => inbox.end(String(error)),
    );
    return inbox;
  }

  async function enter(nick: string): Promise<Guest> {
    const socket = new WebSocket(address('/chat'));
    onTestFinished(() => socket.terminate());
    const heard = new Inbox<Message>(`the chat, as ${nick} hears it`);
    socket.on('message', (data) => heard.push(JSON.parse((data as Buffer).toString()) as Message));
    socket.on('close', () => heard.end('closed'));
    await opened(socket);
    socket.send(JSON.stringify({ type: 'hello', nick }));
    return {
      socket,
      hear: (type, matches = () => true) =>
        heard.next((message) => message.type === type && matches(message)),
      say: (text) => socket.send(JSON.stringify({ type: 'say', text })),
    };
  }
});

describe('without socket.io', () => {
  test('its backend is left out', async () => {
    expect(await startSocketIoBackend('no-such-package')).toBeUndefined();
  });

  test.skipIf(needChromium.missing)(`the page says so${needChromium.note}`, { timeout: 60_000 }, async () => {
    const demo = await running(runDemo({ port: 0 }));
    const page = await (await browser.newContext()).newPage();
    await page.route('**/api/info', (route) =>
      route.fulfill({ json: { ports: { http: 1, https: 2 }, backends: [] } }),
    );
    await page.goto(demo.url);
    await page.locator('#socketio-status', { hasText: 'Not installed' }).waitFor();
    await page.getByText('npm install socket.io').waitFor();
  });
});

describe('starting and stopping the demo', () => {
  test('stopping takes leave of clients with 1001 and frees the port', async () => {
    const demo = await runDemo({ port: 0 });
    const port = demo.proxy.listeners[0]!.port;
    const socket = new WebSocket(`ws://127.0.0.1:${port}/chat`);
    await opened(socket);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    await demo.stop();
    expect(await closed).toBe(1001);
    await running({ stop: close(await listen(port)) });
  });

  test('a port that was asked for and is taken is an error; without one the next free port is taken', async () => {
    const taken = await listen(0);
    await running({ stop: close(taken) });
    const { port } = taken.address() as net.AddressInfo;
    await expect(runDemo({ port })).rejects.toMatchObject({ code: 'EADDRINUSE' });

    // Whether 8080 is free on this machine or not, two demos find two ports.
    const first = await running(runDemo());
    const second = await running(runDemo());
    for (const [listener, usual] of [8080, 8443].entries()) {
      const ports = [first, second].map((demo) => demo.proxy.listeners[listener]!.port);
      expect(ports[0]).toBeGreaterThanOrEqual(usual);
      expect(ports[1]).toBeGreaterThanOrEqual(usual);
      expect(ports[1]).not.toBe(ports[0]);
    }
  });

  test('the port for https may be asked for, too', async () => {
    const taken = await listen(0);
    await running({ stop: close(taken) });
    const { port } = taken.address() as net.AddressInfo;
    await expect(runDemo({ port: 0, httpsPort: port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  test('its certificate and key are gone with it', async () => {
    const before = identityFolders();
    const demo = await runDemo({ port: 0 });
    const folder = identityFolders().find((name) => !before.includes(name));
    expect(folder).toBeDefined();
    const file = join(tmpdir(), folder!, 'self-signed.pem');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    await demo.stop();
    expect(existsSync(file)).toBe(false);
  });
});

const identityFolders = (): string[] =>
  readdirSync(tmpdir()).filter((name) => name.startsWith('tidegate-demo-'));

interface Event {
  readonly name: string;
  readonly data: unknown;
}

interface Step {
  readonly from: string;
  readonly what: string;
  readonly packet: number;
  readonly head?: string;
  readonly hex?: string;
  readonly text?: string;
}

type FeedEvent =
  | { type: 'opened'; session: SessionInfo }
  | { type: 'closed'; id: string; record: AccessRecord }
  | { type: 'request'; id: string; record: AccessRecord };

type Message = Record<string, unknown> & { type: string };

interface Guest {
  readonly socket: WebSocket;
  hear(type: string, matches?: (message: Message) => boolean): Promise<Message>;
  say(text: string): void;
}

function feedEvents(feed: Inbox<Event>): FeedEvent[] {
  return feed.all.flatMap(({ name, data }) =>
    name === 'batch' ? (data as { events: FeedEvent[] }).events : [],
  );
}

/** The first session told of as closed whose record matches. */
async function closedSession(
  feed: Inbox<Event>,
  matches: (record: AccessRecord) => boolean,
): Promise<{ id: string; record: AccessRecord }> {
  for (;;) {
    const found = feedEvents(feed).find((event) => event.type === 'closed' && matches(event.record));
    if (found?.type === 'closed') return found;
    await feed.next(({ name }) => name === 'batch');
  }
}

/** The draft's sum, done here once more: numbers hidden in the keys, then MD5. */
function expectedChallenge(head: string, key3: string): string {
  const numbers = Buffer.alloc(8);
  for (const n of [1, 2]) {
    const key = new RegExp(`^Sec-WebSocket-Key${n}: (.*)\r$`, 'm').exec(head)?.[1] ?? '';
    const digits = Number(key.replace(/\D/g, ''));
    const spaces = key.split(' ').length - 1;
    numbers.writeUInt32BE(digits / spaces, (n - 1) * 4);
  }
  return createHash('md5').update(numbers).update(Buffer.from(key3, 'hex')).digest('hex');
}

function opened(socket: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve());
    socket.once('error', reject);
  });
}

function listen(port: number): Promise<net.Server> {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

function close(server: net.Server): () => Promise<void> {
  return () => new Promise((resolve) => server.close(() => resolve()));
}
