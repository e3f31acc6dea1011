/** Publishing with software that is not ours, and from our own command line. */
import {
  HttpResponseFormat,
  HttpStreamFormat,
  Publisher,
  PublishException,
  WebSocketMessageFormat,
} from '@fanoutio/grip';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpsServer } from 'node:https';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import type { PublishAuthPlan } from '../../src/gateway/publish-plan.js';
import { authorityFile, certificate } from '../fixtures/certificates.js';
import { type CliOptions, type CliResult, runCli } from '../fixtures/cli.js';
import { listening } from '../fixtures/listening.js';
import { noAuth, type Publishing, startPublishing } from '../fixtures/publishing.js';

const root = mkdtempSync(join(tmpdir(), 'tidegate-publish-'));
afterAll(() => rmSync(root, { recursive: true }));

const SECRET = 'a secret of some length';
const TOKEN = 'a-token-that-is-long-enough';
const PASSWORD = 'pass-word';
const rsa = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});

const auth: PublishAuthPlan = {
  ...noAuth,
  tokens: [TOKEN],
  jwt: [
    { issuer: 'backend', key: SECRET },
    { issuer: 'signer', key: rsa.publicKey },
  ],
  basic: [{ user: 'ann', password: PASSWORD }],
};

describe('@fanoutio/grip', () => {
  const keys: Record<string, string> = {
    'iss and key (JWT, HS256)': `http://HOST/?iss=backend&key=${encodeURIComponent(SECRET)}`,
    'iss and key in base64': `http://HOST/?iss=backend&key=base64:${encodeURIComponent(Buffer.from(SECRET).toString('base64'))}`,
    'iss and a private key (JWT, RS256)': `http://HOST/?iss=signer&key=${encodeURIComponent(rsa.privateKey)}`,
    'key alone (a bearer token)': `http://HOST/?key=${TOKEN}`,
    'user and password': `http://ann:${PASSWORD}@HOST/`,
  };
  test.each(Object.entries(keys))('GRIP_URL with %s', async (_, gripUrl) => {
    const { port, listen } = await startPublishing({ plan: { auth } });
    const room = listen('room');
    const publisher = new Publisher(gripUrl.replace('HOST', `127.0.0.1:${port}`));
    await publisher.publishFormats('room', new WebSocketMessageFormat('hello'));
    expect(room.texts).toEqual(['hello']);
  });

  test('GRIP_URL with nothing, where nothing is asked for', async () => {
    const { url, listen } = await startPublishing();
    const room = listen('room');
    await new Publisher(url).publishHttpStream('room', 'one\n');
    await new Publisher({ control_uri: `${url}/` }).publishHttpResponse('room', 'two');
    expect(room.items.map(({ item }) => item.httpStream ?? item.httpResponse)).toMatchObject([
      { action: 'send', content: Buffer.from('one\n') },
      { action: 'send', code: 200, body: { bytes: Buffer.from('two') } },
    ]);
  });

  test('wrong keys are refused, and nothing is published', async () => {
    const { port, listen } = await startPublishing({ plan: { auth } });
    const room = listen('room');
    for (const wrong of ['/?iss=backend&key=other', '/?iss=stranger&key=other', '/?key=other', '/']) {
      const publishing = new Publisher(`http://127.0.0.1:${port}${wrong}`).publishHttpStream('room', 'x');
      const thrown: unknown = await publishing.catch((error: unknown) => error);
      expect(thrown).toBeInstanceOf(PublishException);
      expect(thrown).toMatchObject({ context: { statusCode: 401 } });
    }
    expect(room.items).toEqual([]);
  });

  test('every format, ids and prefixes', async () => {
    const { url, listen } = await startPublishing();
    const room = listen('app-room');
    const publisher = new Publisher(url, { prefix: 'app-' });
    const formats = [
      new WebSocketMessageFormat(Uint8Array.of(0, 255)),
      new HttpStreamFormat(Uint8Array.of(1, 254)),
      new HttpResponseFormat({ code: '201', reason: 'Made', headers: { 'X-A': 'b' }, body: 'made' }),
    ];
    await publisher.publishFormats('room', formats, 'id-1', '');
    await publisher.publishFormats('room', new WebSocketMessageFormat(null, true, 4001), 'id-2', 'id-1');
    expect(room.items.map(({ item }) => item)).toMatchObject([
      {
        channel: 'app-room',
        id: 'id-1',
        wsMessage: { action: 'send', type: 'binary', content: Buffer.of(0, 255) },
        httpStream: { action: 'send', content: Buffer.of(1, 254) },
        httpResponse: { code: 201, reason: 'Made', headers: [['X-A', 'b']] },
      },
      { id: 'id-2', prevId: 'id-1', wsMessage: { action: 'close', code: 4001 } },
    ]);
  });
});

describe('tidegate publish', () => {
  test('a text, to all who listen in whatever way', async () => {
    const { publish, listen } = await start();
    const room = listen('room');
    listen('room');
    expect(await publish(['room', 'Grüße'])).toEqual({
      code: 0,
      stdout: 'room: delivered to 2 subscribers',
      stderr: '',
    });
    expect(room.items[0]!.item).toMatchObject({
      wsMessage: { type: 'text', content: Buffer.from('Grüße') },
      httpStream: { content: Buffer.from('Grüße\n') },
      httpResponse: { code: 200, body: { bytes: Buffer.from('Grüße\n') } },
    });
    expect((await publish(['nobody', 'x'])).stdout).toBe('nobody: delivered to 0 subscribers');
    room.onReceive = () => 'dropped';
    expect((await publish(['room', 'x'])).stdout).toBe(
      'room: delivered to 1 subscriber, dropped for 1 too slow to take it',
    );
    expect(JSON.parse((await publish(['room', 'x', '--json'])).stdout)).toMatchObject({
      message: 'Published',
      delivered: 1,
      dropped: 1,
    });
  });

  test('standard input, as it is', async () => {
    const { publish, listen } = await start();
    const room = listen('room');
    await publish(['room', '-'], { input: 'two\nlines\n' });
    expect(room.texts).toEqual(['two\nlines\n']);
    expect(await publish(['room', '-'], { input: Buffer.of(255) })).toMatchObject({
      code: 2,
      stderr: 'tidegate: expected a text in UTF-8; --binary publishes any bytes',
    });
    await publish(['room', '-', '--binary'], { input: Buffer.of(0, 255) });
    await publish(['room', 'abc', '--binary']);
    expect(room.items.slice(1).map(({ item }) => item)).toMatchObject([
      {
        wsMessage: { type: 'binary', content: Buffer.of(0, 255) },
        httpStream: { content: Buffer.of(0, 255) },
      },
      { wsMessage: { type: 'binary', content: Buffer.from('abc') } },
    ]);
  });

  test('a close', async () => {
    const { publish, listen } = await start();
    const room = listen('room');
    await publish(['room', '--close', '4001', '--reason', 'bye']);
    expect(room.items[0]!.item).toMatchObject({
      wsMessage: { action: 'close', code: 4001, reason: 'bye' },
      httpStream: { action: 'close' },
      httpResponse: undefined,
    });
  });

  test.each([
    [['room'], 'what to publish? Expected TEXT, - for standard input, or --close CODE'],
    [['', 'x'], 'expected a CHANNEL that is not empty'],
    [['room', 'x', '--close', '4001'], '--close: expected no TEXT and no --binary with it'],
    [['room', 'x', '--reason', 'y'], '--reason: expected --close CODE with it'],
    [['room', '--close', '1006'], '--close: expected one of 1000-1003, 1007-1014, 3000-4999, found "1006"'],
    [
      ['room', 'x', '--url', 'ftp://h'],
      '--url: expected http://[USER:PASSWORD@]HOST:PORT, https:// or unix:PATH, found "ftp://h"',
    ],
    [['room', 'x', '--token-file', '/nothing'], /^cannot read the token: /],
  ])('%j: exit 2', async (args, message) => {
    const { publish } = await start();
    const { code, stderr } = await publish(args);
    expect([code, stderr]).toEqual([
      2,
      typeof message === 'string' ? `tidegate: ${message}` : expect.stringMatching(/^tidegate: cannot read/),
    ]);
  });

  test('with a token in each of its ways, and with a password in the URL', async () => {
    const { publish, listen, url } = await start({ auth });
    const room = listen('room');
    const tokenFile = join(root, 'token');
    writeFileSync(tokenFile, `${TOKEN}\n`);
    const withPassword = url.replace('http://', `http://ann:${PASSWORD}@`);
    const results = [
      await publish(['room', 'a', '--token', TOKEN]),
      await publish(['room', 'b', '--token-file', tokenFile]),
      await publish(['room', 'c'], { env: { TIDEGATE_PUBLISH_TOKEN: TOKEN } }),
      await publish(['room', 'd', '--url', withPassword]),
    ];
    expect(results.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    expect(room.texts).toEqual(['a', 'b', 'c', 'd']);
    expect(await publish(['room', 'x', '--token', 'wrong'])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^tidegate: .*; give a token with --token, --token-file or TIDEGATE_PUB/,
      ) as unknown,
    });
  });

  const inConfig = {
    tokens: `{ tokens: ${TOKEN} }`,
    'a secret for JWTs': `{ jwt: { issuer: backend, key: ${SECRET} } }`,
    'a password': `{ basic: { user: ann, password: ${PASSWORD} } }`,
  };
  test.each(Object.entries(inConfig))('as the configuration says: %s', async (_, written) => {
    const { listen, port } = await startPublishing({ plan: { auth } });
    const room = listen('room');
    const config = writeConfig(`publish: { address: "127.0.0.1:${port}", auth: ${written} }`);
    expect(await runCli(['publish', 'room', 'x', '--config', config])).toMatchObject({ code: 0, stderr: '' });
    expect(room.texts).toEqual(['x']);
  });

  test('over a unix socket', async () => {
    const socketPath = join(root, 'publish.sock');
    const { listen } = await startPublishing({ plan: { address: { socketPath } } });
    const room = listen('room');
    const config = writeConfig('publish: unix:publish.sock');
    expect(await runCli(['publish', 'room', 'a', '--config', config])).toMatchObject({ code: 0 });
    expect(await runCli(['publish', 'room', 'b', '--url', `unix:${socketPath}`])).toMatchObject({ code: 0 });
    expect(room.texts).toEqual(['a', 'b']);
  });

  test('over TLS, under a path, as another proxy offers it', async () => {
    const { listen, port } = await startPublishing();
    const room = listen('room');
    const pem = certificate('wildcard');
    const front = createHttpsServer({ key: pem, cert: pem }, (req, res) => {
      const path = req.url!.replace(/^\/push/, '');
      const headers = { ...req.headers, host: 'localhost' };
      const forwarded = request({ port, host: '127.0.0.1', method: req.method, path, headers }, (answer) => {
        res.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(res);
      });
      req.pipe(forwarded);
    });
    const { port: frontPort, stop } = await listening(front);
    onTestFinished(stop);
    const args = ['publish', 'room', 'x', '--url', `https://127.0.0.1:${frontPort}/push`];
    expect(await runCli(args, { env: { NODE_EXTRA_CA_CERTS: authorityFile } })).toMatchObject({ stderr: '' });
    expect(await runCli(args)).toMatchObject({ code: 1 });
    expect(room.texts).toEqual(['x']);
  });

  test('nobody there, and somebody else there', async () => {
    const { publish, server, url } = await start();
    const shown = `${url}/`;
    await server.close();
    expect(await publish(['room', 'x'])).toMatchObject({
      code: 1,
      stderr: `tidegate: nobody listens on ${shown}: is the proxy running, with \`publish\` in its configuration?`,
    });
    const config = writeConfig('relay: auto');
    expect(await runCli(['publish', 'room', 'x', '--config', config])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('has no `publish`; add `publish: 127.0.0.1:5561` to it') as unknown,
    });
  });
});

/** A publish listener, and the command line that is told where it is. */
async function start(
  plan: { auth?: PublishAuthPlan } = {},
): Promise<Publishing & { publish(args: readonly string[], options?: CliOptions): Promise<CliResult> }> {
  const publishing = await startPublishing({ plan: { auth: noAuth, ...plan } });
  const publish = (args: readonly string[], options?: CliOptions) => {
    const to = args.includes('--url') ? [] : ['--url', publishing.url];
    return runCli(['publish', ...args, ...to], options);
  };
  return { ...publishing, publish };
}

let configs = 0;
function writeConfig(publish: string): string {
  const file = join(root, `config-${++configs}.yaml`);
  writeFileSync(file, `listeners: [8080]\nroutes: [{ to: "http://127.0.0.1:3000" }]\n${publish}\n`);
  return file;
}
