import net from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type ConversationStep, runHixieClient, type Verdict } from './hixie-client.js';

const answerHead = (authority: string): string =>
  [
    'HTTP/1.1 101 WebSocket Protocol Handshake',
    'Upgrade: WebSocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Origin: http://${authority}`,
    `Sec-WebSocket-Location: ws://${authority}/hixie`,
    '',
    '',
  ].join('\r\n');

/** The client must notice every way in which a proxy can spoil the conversation. */
describe('the client of 2010 does not call it well when', () => {
  test('the challenge is wrong', async () => {
    const { verdict } = await converse((socket, authority) => {
      socket.write(answerHead(authority));
      socket.write(Buffer.alloc(16));
      socket.on('data', (bytes: Buffer) => socket.write(bytes));
      socket.on('end', () => socket.end());
    });
    expect(failed(verdict)).toEqual(['16 challenge bytes']);
    expect(verdict.ok).toBe(false);
  });

  test.each([
    ['Connection is rewritten', 'Connection', (head: string) => head.replace(': Upgrade', ': keep-alive')],
    [
      'Upgrade is set in lower case',
      'Upgrade',
      (head: string) => head.replace('WebSocket\r\nC', 'websocket\r\nC'),
    ],
    [
      'a Content-Length is added',
      'Content-Length',
      (head: string) => head.replace('\r\n\r\n', '\r\nContent-Length: 16\r\n\r\n'),
    ],
    [
      'the location is the backend’s',
      'Sec-WebSocket-Location',
      (head: string) => head.replace(/ws:\S+/, 'ws://backend/hixie'),
    ],
  ])('%s', async (_, check, spoil) => {
    const { verdict } = await converse((socket, authority) => socket.end(spoil(answerHead(authority))));
    expect(failed(verdict)).toEqual([check]);
    expect(verdict).toMatchObject({ ok: false, problem: 'the server hung up, waiting for: challenge' });
  });

  test('the handshake is refused', async () => {
    const { verdict } = await converse((socket) => socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\nno backend'));
    expect(verdict).toEqual({
      ok: false,
      checks: [],
      problem: 'the handshake was refused with 502: no backend',
    });
  });

  test('nothing answers in time', async () => {
    const { verdict } = await converse(() => {}, { timeoutMs: 50 });
    expect(verdict).toMatchObject({ ok: false, problem: 'not over after 50 ms, waiting for: answer head' });
  });

  test('nobody listens', async () => {
    const verdict = await runHixieClient(
      { ...options, host: '127.0.0.1', port: 1, authority: '127.0.0.1:1' },
      () => {},
    );
    expect(verdict.problem).toContain('ECONNREFUSED');
  });

  test('it is abandoned', async () => {
    const giveUp = new AbortController();
    const { verdict } = await converse(() => giveUp.abort(), { signal: giveUp.signal });
    expect(verdict.problem).toBe('abandoned');
  });
});

const options = { path: '/hixie', text: 'ahoy' };

/** Runs the client against a server that answers in its own way. */
async function converse(
  answer: (socket: net.Socket, authority: string) => void,
  more: { timeoutMs?: number; signal?: AbortSignal } = {},
): Promise<{ verdict: Verdict; steps: ConversationStep[] }> {
  let authority = '';
  const server = net.createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('data', () => answer(socket, authority));
    onTestFinished(() => void socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as net.AddressInfo;
  authority = `127.0.0.1:${port}`;
  const steps: ConversationStep[] = [];
  const verdict = await runHixieClient({ ...options, host: '127.0.0.1', port, authority, ...more }, (step) =>
    steps.push(step),
  );
  return { verdict, steps };
}

function failed(verdict: Verdict): string[] {
  return verdict.checks.filter((check) => !check.ok).map((check) => check.name);
}
