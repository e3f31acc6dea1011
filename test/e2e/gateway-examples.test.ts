/**
 * docs/gateway.md and examples/gateway-chat: the configuration, the backends, the client and the commands run as they
 * stand. Only ports are replaced.
 */
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { ConfigInput } from '../../src/config/schema.js';
import {
  blocksOf,
  exampleText,
  ownFolder,
  runInConsole,
  runShell,
  startExampleBackend,
  startTidegateIn,
} from '../fixtures/gateway-example.js';
import { Inbox } from '../fixtures/inbox.js';
import { listening } from '../fixtures/listening.js';
import { needCommand } from '../fixtures/need.js';
import { connectWs } from '../fixtures/peers/ws.js';
import { startProxy } from '../fixtures/proxy.js';
import { running } from '../fixtures/running.js';
import { quietPort } from '../fixtures/ports.js';

const curl = needCommand('curl');
const python = needCommand('python3');
const blocks = (language: string): readonly string[] => blocksOf('docs/gateway.md', language);
const config = exampleText('gateway-chat/tidegate.config.yaml');

describe('docs/gateway.md', () => {
  test('shows the example as it is', () => {
    expect(blocks('yaml')).toContain(config);
    expect(blocks('js')).toContain(exampleText('gateway-chat/backend.mjs'));
    const [start] = blocks('sh');
    expect(start).toBe('node backend.mjs &\ntidegate serve\n');
  });

  test('its client hears itself and the others', async () => {
    const chat = await startChat('backend.mjs', startCommand);
    const client = blocks('js').find((block) => block.startsWith('const chat'))!;
    const printed = runInConsole(chat.adapted(client));
    expect(await printed.next()).toBe('ann: is it a tunnel or a gateway?');
  });

  test.skipIf(curl.missing)(`its commands publish${curl.note}`, async () => {
    const chat = await startChat('backend.mjs', startCommand);
    const ann = await chat.join('ann');
    const [, byCurl, byTidegate, ...more] = blocks('sh');
    expect(more).toEqual([]);
    expect(await runShell(chat.cwd!, chat.adapted(byCurl!))).toBe('Published\n');
    expect(await runShell(chat.cwd!, byTidegate!)).toBe('room: delivered to 1 subscriber\n');
    expect([await ann.messages.next(), await ann.messages.next()]).toEqual([
      'the tide turns',
      'the tide turns',
    ]);
  });

  test('a client cannot send events itself', async () => {
    const { url } = await startTidegate(await quietPort());
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
  ['backend.mjs', ''],
  ['express.mjs', ''],
  ['backend.py', python.note],
])('examples/gateway-chat/%s', (file, missing) => {
  test.skipIf(missing)(`is a chat${missing}`, { timeout: 60_000 }, async () => {
    const chat = await startChat(file);
    const ann = await chat.join('ann');
    const bob = await chat.join('bob');

    // Nobody is lost with the backend, nor anything that is said meanwhile.
    await chat.backend.stop();
    ann.socket.send('first');
    ann.socket.send('second');
    await running(startBackend(chat.backendPort, chat.publishUrl, file));
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
    const chat = await startChat(file);
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

async function startChat(file: string, start = startTidegate): Promise<Chat> {
  const backendPort = await quietPort();
  const tidegate = await start(backendPort);
  const { url, publishUrl } = tidegate;
  const backend = await running(startBackend(backendPort, publishUrl, file));
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
  const publishPort = await quietPort();
  const cwd = ownFolder();
  const cli = await running(startTidegateIn(cwd, adaptedConfig(backendPort, publishPort)));
  const url = cli.address.replace('http:', 'ws:');
  return { url, publishUrl: `http://127.0.0.1:${publishPort}/publish/`, troubles: [], cwd };
}

function adaptedConfig(backendPort: number, publishPort: number): string {
  return config
    .replace('127.0.0.1:8080', '127.0.0.1:0')
    .replace(':3000', `:${backendPort}`)
    .replace(':5561', `:${publishPort}`);
}

async function startBackend(port: number, publishUrl: string, file: string) {
  const env = { PUBLISH_URL: publishUrl, GRIP_URL: new URL('/', publishUrl).href };
  return startExampleBackend(`gateway-chat/${file}`, 'a chat', port, env);
}
