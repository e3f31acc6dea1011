/**
 * docs/gateway.md and examples/gateway-chat: the configuration, the backends, the client and the commands run as they
 * stand. Only ports are replaced.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { runInNewContext } from 'node:vm';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { parse } from 'yaml';
import type { ConfigInput } from '../../src/config/schema.js';
import { Child } from '../fixtures/child.js';
import { Cli } from '../fixtures/cli.js';
import { refusedPort } from '../fixtures/http-backend.js';
import { Inbox } from '../fixtures/inbox.js';
import { listening } from '../fixtures/listening.js';
import { needCommand } from '../fixtures/need.js';
import { connectWs } from '../fixtures/peers/ws.js';
import { startProxy } from '../fixtures/proxy.js';
import { running } from '../fixtures/running.js';

const run = promisify(execFile);
const curl = needCommand('curl');
const python = needCommand('python3');
const example = (file: string): string =>
  fileURLToPath(new URL(`../../examples/gateway-chat/${file}`, import.meta.url));
const page = readFileSync(new URL('../../docs/gateway.md', import.meta.url), 'utf8');
const blocks = (language: string): string[] =>
  [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].filter((m) => m[1] === language).map((m) => m[2]!);

const config = readFileSync(example('tidegate.config.yaml'), 'utf8');

describe('docs/gateway.md', () => {
  test('shows the example as it is', () => {
    expect(blocks('yaml')).toContain(config);
    expect(blocks('js')).toContain(readFileSync(example('backend.mjs'), 'utf8'));
    const [start] = blocks('sh');
    expect(start).toBe('node backend.mjs &\ntidegate serve\n');
  });

  test('its client hears itself and the others', async () => {
    const chat = await startChat('node', 'backend.mjs', startCommand);
    const printed = await runClient(chat);
    expect(await printed.next()).toBe('ann: is it a tunnel or a gateway?');
  });

  test.skipIf(curl.missing)(`its commands publish${curl.note}`, async () => {
    const chat = await startChat('node', 'backend.mjs');
    const ann = await chat.join('ann');
    const bob = await chat.join('bob');
    const outputs: string[] = [];
    for (const command of blocks('sh').filter((text) => text.startsWith('curl '))) {
      const { stdout } = await run('sh', ['-c', chat.adapted(command).replace('curl ', 'curl -s ')]);
      outputs.push(stdout);
    }
    expect(outputs[0]).toBe('Published\n');
    expect(JSON.parse(outputs[1]!)).toMatchObject({ message: 'Published', delivered: 2, dropped: 0 });
    for (const { messages } of [ann, bob]) {
      expect([await messages.next(), await messages.next()]).toEqual(['the tide turns', 'to how many?']);
    }
  });

  test('its `tidegate publish` publishes', async () => {
    const chat = await startChat('node', 'backend.mjs', startCommand);
    const ann = await chat.join('ann');
    const command = blocks('sh').find((text) => text.startsWith('tidegate publish '))!;
    const program = `"${process.execPath}" "${fileURLToPath(new URL('../../bin/tidegate.js', import.meta.url))}"`;
    const { stdout } = await run('sh', ['-c', command.replace('tidegate', program)], { cwd: chat.cwd });
    expect(stdout).toBe('room: delivered to 1 subscriber\n');
    expect(await ann.messages.next()).toBe('the tide turns');
  });

  test.skipIf(curl.missing)(`its stream is held, and gets what is published${curl.note}`, async () => {
    const [fields, body] = blocks('http')
      .find((text) => text.includes('Grip-Hold'))!
      .split(/(?<=\n)\n/, 2) as [string, string];
    const backend = await running(
      listening(
        createServer((_, res) => {
          for (const field of fields.trimEnd().split('\n').slice(1)) {
            const [, name, value] = /^([\w-]+): (.*)$/.exec(field) as unknown as [string, string, string];
            res.setHeader(name, value);
          }
          res.end(body);
        }),
      ),
    );
    const tidegate = await startTidegate(backend.port);
    const response = await fetch(`${tidegate.url.replace('ws:', 'http:')}/chat`);
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    expect([...response.headers.keys()].filter((name) => name.startsWith('grip-'))).toEqual([]);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    onTestFinished(() => reader.cancel());
    expect((await reader.read()).value).toBe(body);
    const command = blocks('sh').find((text) => text.includes('http-stream'))!;
    const { host } = new URL(tidegate.publishUrl);
    const { stdout } = await run('sh', ['-c', command.replace('127.0.0.1:5561', host)]);
    expect(stdout).toBe('Published\n');
    expect((await reader.read()).value).toBe('data: high water\n\n');
  });

  test('a client cannot send events itself', async () => {
    const { url } = await startTidegate(await refusedPort());
    const headers = { 'Content-Type': 'application/websocket-events' };
    const response = await fetch(`${url.replace('ws:', 'http:')}/chat`, {
      method: 'POST',
      headers,
      body: 'OPEN\r\n',
    });
    expect(response.status).toBe(403);
  });

  test('a handshake goes over the wire as the page shows it, and its answer is taken', async () => {
    const [asked, answered] = blocks('http').map((text) => text.replaceAll('\n', '\r\n'));
    const seen = new Inbox<string>('requests');
    const [fields, body] = answered!.split('\r\n\r\n') as [string, string];
    const backend = await running(
      listening(
        createServer((req, res) => {
          let head = `${req.method} ${req.url} HTTP/${req.httpVersion}\r\n`;
          for (let i = 0; i < req.rawHeaders.length; i += 2) {
            head += `${req.rawHeaders[i]}: ${req.rawHeaders[i + 1]}\r\n`;
          }
          void buffer(req).then((events) => seen.push(`${head}\r\n${events.toString('latin1')}`));
          for (const field of fields.split('\r\n').slice(1)) {
            const [name, value] = field.split(': ') as [string, string];
            res.setHeader(name, value);
          }
          res.end(body);
        }),
      ),
    );
    const { url, publishUrl } = await startTidegate(backend.port);
    const client = await running(
      connectWs(`${url}/chat?name=ann`, [], { headers: { Host: '127.0.0.1:8080' } }),
    );
    const varying = (text: string): string =>
      text
        .replace(/(Sec-WebSocket-Key|Connection-Id): \S+/g, '$1: …')
        .replace(/(?<=\r\n)(Host: 127.0.0.1:8080\r\n)/, '');
    expect(varying(await seen.next())).toBe(varying(asked!));
    const formats = { 'ws-message': { content: 'subscribed' } };
    await fetch(publishUrl, {
      method: 'POST',
      body: JSON.stringify({ items: [{ channel: 'room', formats }] }),
    });
    expect(await client.messages.next()).toBe('subscribed');
  });
});

describe.each([
  ['backend.mjs', 'node', ''],
  ['express.mjs', 'node', ''],
  ['backend.py', 'python3', python.missing ? python.note : ''],
])('examples/gateway-chat/%s', (file, program, missing) => {
  test.skipIf(missing)(`is a chat${missing}`, { timeout: 60_000 }, async () => {
    const chat = await startChat(program, file);
    const ann = await chat.join('ann');
    const bob = await chat.join('bob');

    // Nobody is lost with the backend, nor anything that is said meanwhile.
    await chat.backend.stop();
    ann.socket.send('first');
    ann.socket.send('second');
    await running(startBackend(chat.backendPort, chat.publishUrl, program, file));
    for (const { messages } of [ann, bob]) {
      expect([await messages.next(), await messages.next()]).toEqual(['ann: first', 'ann: second']);
    }

    bob.socket.send('is it a tunnel? ⇄');
    for (const { messages } of [ann, bob]) expect(await messages.next()).toBe('bob: is it a tunnel? ⇄');
    ann.socket.send('or a gateway?');
    for (const { messages } of [ann, bob]) expect(await messages.next()).toBe('ann: or a gateway?');

    ann.socket.close(1000, 'good bye');
    expect((await ann.closed).code).toBe(1000);
    bob.socket.terminate();
    const carol = await chat.join('carol');
    carol.socket.send('alone');
    expect(await carol.messages.next()).toBe('carol: alone');
    expect(chat.troubles).toEqual([]);
  });

  test.skipIf(missing)('has nothing for plain requests', async () => {
    const chat = await startChat(program, file);
    const { status } = await fetch(`${chat.url.replace('ws:', 'http:')}/chat`);
    expect(status).toBeGreaterThanOrEqual(400);
  });
});

interface Chat {
  readonly url: string;
  readonly publishUrl: string;
  readonly backendPort: number;
  readonly backend: { stop(): Promise<void> };
  /** What went wrong with the backend, as the log has it. */
  readonly troubles: readonly string[];
  /** The folder of its configuration, where there is one. */
  readonly cwd?: string;
  join(name: string): ReturnType<typeof connectWs>;
  /** A text of the page, for the ports of this chat. */
  adapted(text: string): string;
}

async function startChat(program: string, file: string, start = startTidegate): Promise<Chat> {
  const backendPort = await refusedPort();
  const tidegate = await start(backendPort);
  const { url, publishUrl } = tidegate;
  const backend = await running(startBackend(backendPort, publishUrl, program, file));
  return {
    ...tidegate,
    backendPort,
    backend,
    join: (name) => running(connectWs(`${url}/chat?name=${name}`)),
    adapted: (text) =>
      text.replace('ws://127.0.0.1:8080', url).replace('127.0.0.1:5561', new URL(publishUrl).host),
  };
}

type Tidegate = Pick<Chat, 'url' | 'publishUrl' | 'troubles' | 'cwd'>;

/** The configuration of the page. */
async function startTidegate(backendPort: number): Promise<Tidegate> {
  const { proxy, url } = await running(startProxy(parse(adaptedConfig(backendPort, 0)) as ConfigInput));
  const troubles: string[] = [];
  proxy.on('gateway.trouble', ({ problem }) => troubles.push(problem));
  const { port } = proxy.publish as { port: number };
  return {
    url: url.replace('http:', 'ws:'),
    publishUrl: `http://127.0.0.1:${port}/publish/`,
    troubles,
  };
}

/** The same by the page’s command, in a folder of its own. */
async function startCommand(backendPort: number): Promise<Tidegate> {
  const publishPort = await refusedPort();
  const cwd = mkdtempSync(join(tmpdir(), 'tidegate-gateway-'));
  onTestFinished(() => rmSync(cwd, { recursive: true }));
  writeFileSync(join(cwd, 'tidegate.config.yaml'), adaptedConfig(backendPort, publishPort));
  const cli = await running(new Cli(['serve'], { cwd }));
  const url = (await cli.url()).replace('http:', 'ws:');
  return { url, publishUrl: `http://127.0.0.1:${publishPort}/publish/`, troubles: [], cwd };
}

function adaptedConfig(backendPort: number, publishPort: number): string {
  return config
    .replace('127.0.0.1:8080', '127.0.0.1:0')
    .replace(':3000', `:${backendPort}`)
    .replace(':5561', `:${publishPort}`);
}

async function startBackend(port: number, publishUrl: string, program: string, file: string) {
  const grip = new URL('/', publishUrl).href;
  const env = [`PORT=${port}`, `PUBLISH_URL=${publishUrl}`, `GRIP_URL=${grip}`];
  const child = new Child(file, 'env', [...env, program, example(file)]);
  expect(await child.lines.next()).toBe(`a chat on http://127.0.0.1:${port}`);
  return child;
}

/** What the page has for a browser; what it prints. */
async function runClient(chat: Chat): Promise<Inbox<string>> {
  const printed = new Inbox<string>('the console');
  class Socket extends WebSocket {
    constructor(url: string) {
      super(url);
      onTestFinished(() => this.terminate());
    }
  }
  const text = blocks('js').find((block) => block.startsWith('const chat'))!;
  const console = { log: (line: string) => printed.push(line) };
  runInNewContext(chat.adapted(text), { WebSocket: Socket, console });
  return printed;
}
