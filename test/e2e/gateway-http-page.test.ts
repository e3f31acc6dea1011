/** docs/gateway-http.md: what it shows of requests, answers and commands, as it stands. Only ports are replaced. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import type { ConfigInput } from '../../src/config/schema.js';
import { blocksOf, exampleText, ownFolder, runShell, withPorts } from '../fixtures/gateway-example.js';
import { Inbox } from '../fixtures/inbox.js';
import { listening } from '../fixtures/listening.js';
import { needCommand } from '../fixtures/need.js';
import { startProxy } from '../fixtures/proxy.js';
import { running } from '../fixtures/running.js';

const curl = needCommand('curl');
const [stream, comesAgain, feed, isAsked, poll, ...more] = blocksOf('docs/gateway-http.md', 'http');
const [toStream, toPoll, ...others] = blocksOf('docs/gateway-http.md', 'sh');

describe('docs/gateway-http.md', () => {
  test('has nothing that is not run here', () => {
    expect([...more, ...others]).toEqual([]);
  });

  test.skipIf(curl.missing)(`its stream is held, and gets what is published${curl.note}`, async () => {
    const house = await startHouse((_, res) => answer(res, stream!));
    const { headers, next } = await house.get('/');
    expect(headers.get('content-type')).toBe('text/event-stream');
    expect([...headers.keys()].filter((name) => name.startsWith('grip-'))).toEqual([]);
    expect(await next()).toBe(bodyOf(stream!));
    expect(await house.shell(toStream!)).toBe('Published\n');
    expect(await next()).toBe('data: high water\n\n');
  });

  test('its feed goes on where the client was, and asks for what is missing', async () => {
    const asked = new Inbox<IncomingMessage['headers']>('what the backend was asked');
    const rest = feed!
      .replace('prev-id=9', 'prev-id=10')
      .replace(/\n\n[^]*/, '\n\nid: 10\ndata: "slack"\n\n');
    const house = await startHouse((req, res) => {
      asked.push(req.headers);
      answer(res, req.headers['grip-last'] === undefined ? feed! : rest);
    });
    const [asking, lastEventId] = fieldsOf(comesAgain!);
    expect(asking).toBe('GET /feed HTTP/1.1');
    const { next } = await house.get('/feed', Object.fromEntries([lastEventId!.split(': ')]) as object);
    expect((await asked.next())['last-event-id']).toBe('7');
    expect(await next()).toBe(bodyOf(feed!));

    // The one between is lost.
    await house.publish('feed', '11', '10', 'id: 11\ndata: "ebb"\n\n');
    const [again, gripLast] = fieldsOf(isAsked!);
    expect(again).toBe('GET /feed HTTP/1.1');
    const { 'grip-last': last } = await asked.next();
    expect(gripLast).toBe(`Grip-Last: ${String(last)}`);
    let told = '';
    while (!told.includes('ebb')) told += await next();
    expect(told).toBe('id: 10\ndata: "slack"\n\nid: 11\ndata: "ebb"\n\n');
    await house.publish('feed', '12', '11', 'id: 12\n\n');
    expect(await next()).toBe('id: 12\n\n');
    expect(asked.all).toHaveLength(2);
  });

  test.skipIf(curl.missing)(`its long poll waits for what is published${curl.note}`, async () => {
    const house = await startHouse((_, res) => answer(res, poll!));
    const asking = house.get('/tide');
    // It cannot be seen from outside that a long poll is held, but by who listens.
    while (!(await house.channels()).includes('tide'));
    expect(await house.shell(toPoll!)).toBe('Published\n');
    const { headers, next } = await asking;
    expect(headers.get('content-type')).toBe('application/json');
    expect(await next()).toBe('{"news":"high water"}');
  });
});

type Answer = (req: IncomingMessage, res: ServerResponse) => void;

async function startHouse(backend: Answer) {
  const { port } = await running(listening(createServer(backend)));
  const text = exampleText('gateway-feed/tidegate.config.yaml');
  const config = withPorts(text, { listen: 0, backend: port, publish: 0 });
  const { proxy, url } = await running(startProxy(parse(config) as ConfigInput));
  const publish = (proxy.publish as { port: number }).port;
  const api = `http://127.0.0.1:${publish}`;
  return {
    async get(path: string, headers = {}) {
      const response = await fetch(url + path, { headers });
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
      onTestFinished(() => reader.cancel());
      return { headers: response.headers, next: async () => (await reader.read()).value };
    },
    async publish(channel: string, id: string, prevId: string, content: string) {
      const items = [{ channel, id, 'prev-id': prevId, formats: { 'http-stream': { content } } }];
      const { status } = await fetch(`${api}/publish/`, { method: 'POST', body: JSON.stringify({ items }) });
      expect(status).toBe(200);
    },
    channels: async () => (await fetch(`${api}/v1/channels`)).text(),
    shell: (lines: string) => runShell(ownFolder(), withPorts(lines, { listen: 0, backend: 0, publish })),
  };
}

/** Answers as a block of the page says. */
function answer(res: ServerResponse, block: string): void {
  const [status, ...fields] = fieldsOf(block);
  expect(status).toBe('HTTP/1.1 200 OK');
  for (const field of fields) {
    const [, name, value] = /^([\w-]+): (.*)$/.exec(field)!;
    res.setHeader(name!, value!);
  }
  res.end(bodyOf(block));
}

const fieldsOf = (block: string): string[] => block.split('\n\n', 1)[0]!.trimEnd().split('\n');
const bodyOf = (block: string): string => block.slice(block.indexOf('\n\n') + 2);
