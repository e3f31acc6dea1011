/** Certificates that are renewed while clients are there. */
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ConfigError } from '../../src/config/issues.js';
import type { ConfigInput } from '../../src/config/schema.js';
import { createProxy, type Proxy } from '../../src/server/proxy.js';
import { certificate, certificateFile, type CertificateName } from '../fixtures/certificates.js';
import { Cli } from '../fixtures/cli.js';
import { connectWs, startWsServer } from '../fixtures/peers/ws.js';
import { testedRelay } from '../fixtures/proxy.js';
import { running } from '../fixtures/running.js';
import { connectSecurely, trusting } from '../fixtures/tls-client.js';

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^]*/;

function folder(): string {
  const cwd = mkdtempSync(join(tmpdir(), 'tidegate-tls-'));
  onTestFinished(() => rmSync(cwd, { recursive: true }));
  return cwd;
}

/** Who a server says that it is. */
async function shownAt(port: number): Promise<string> {
  const peer = await connectSecurely(port);
  const { subject } = (peer.socket as TLSSocket).getPeerX509Certificate()!;
  peer.destroy();
  return subject;
}

describe('a reload', () => {
  async function started(cwd: string, to: string) {
    const config = {
      ...testedRelay,
      listeners: [{ address: '127.0.0.1:0', tls: { certificates: { cert: 'a.pem', key: 'a.pem' } } }],
      routes: [{ to, websocket: {} }],
    } satisfies ConfigInput;
    const proxy = createProxy(config, { baseDir: cwd });
    await proxy.start();
    onTestFinished(() => proxy.stop({ timeoutMs: 0 }));
    return { proxy, config, port: proxy.listeners[0]!.port };
  }

  function put(cwd: string, name: CertificateName): void {
    copyFileSync(certificateFile(name), join(cwd, 'a.pem'));
  }

  test('brings the new certificate; tunnels stay, sessions are resumed', async () => {
    const cwd = folder();
    put(cwd, 'chat');
    const server = await running(startWsServer());
    const { proxy, config, port } = await started(cwd, server.url);
    const client = await running(connectWs(`wss://127.0.0.1:${port}/`, [], trusting));
    client.socket.send('before');
    expect(await client.messages.next()).toBe('before');
    const early = await connectSecurely(port, { maxVersion: 'TLSv1.2' });
    const session = (early.socket as TLSSocket).getSession()!;
    expect(await shownAt(port)).toBe('CN=chat');

    put(cwd, 'chat-renewed');
    const { changes } = await proxy.reload(config);
    expect(changes).toEqual(['listener 127.0.0.1:0 changed']);
    expect(await shownAt(port)).toBe('CN=chat\\, renewed');
    client.socket.send('after');
    expect(await client.messages.next()).toBe('after');
    const again = await connectSecurely(port, { maxVersion: 'TLSv1.2', session });
    expect((again.socket as TLSSocket).isSessionReused()).toBe(true);
    expect((await proxy.reload(config)).changes).toEqual([]);
  });

  test('changes nothing when a key does not belong to its certificate', async () => {
    const cwd = folder();
    put(cwd, 'chat');
    const { proxy, config, port } = await started(cwd, 'http://127.0.0.1:1');
    const key = certificate('wildcard').replace(CERTIFICATE, '');
    writeFileSync(join(cwd, 'a.pem'), `${key}${CERTIFICATE.exec(certificate('chat-renewed'))![0]}`);
    const reloading = proxy.reload(config);
    await expect(reloading).rejects.toThrow(ConfigError);
    await expect(reloading).rejects.toThrow(/certificates\[0\]\.key: the key in .* is not that of/);
    expect(await shownAt(port)).toBe('CN=chat');
  });

  test('turns TLS on and off at an address', async () => {
    const cwd = folder();
    put(cwd, 'chat');
    const server = await running(startWsServer());
    const { proxy, config, port } = await started(cwd, server.url);
    const plain = { ...config, listeners: ['127.0.0.1:0'] };
    const talk = async (url: string) => {
      const client = await running(connectWs(url, [], trusting));
      client.socket.send('hello');
      expect(await client.messages.next()).toBe('hello');
    };
    await talk(`wss://127.0.0.1:${port}/`);
    await proxy.reload(plain);
    await talk(`ws://127.0.0.1:${port}/`);
    await expect(connectWs(`wss://127.0.0.1:${port}/`, [], trusting)).rejects.toThrow();
    await proxy.reload(config);
    await talk(`wss://127.0.0.1:${port}/`);

    // The other way round: the listener has had a native door, where there is one.
    const other = await startedPlain(server.url);
    onTestFinished(() => other.stop({ timeoutMs: 0 }));
    const otherPort = other.listeners[0]!.port;
    await talk(`ws://127.0.0.1:${otherPort}/`);
    const tls = { certificates: { cert: certificateFile('chat'), key: certificateFile('chat') } };
    await other.reload({ ...config, listeners: [{ address: '127.0.0.1:0', tls }] });
    await talk(`wss://127.0.0.1:${otherPort}/`);
    await expect(connectWs(`ws://127.0.0.1:${otherPort}/`)).rejects.toThrow();
  });

  async function startedPlain(to: string): Promise<Proxy> {
    const proxy = createProxy({
      ...testedRelay,
      listeners: ['127.0.0.1:0'],
      routes: [{ to, websocket: {} }],
    });
    await proxy.start();
    return proxy;
  }
});

test('watch: the files of a certificate, one written after the other', async () => {
  const cwd = folder();
  const put = (file: 'cert' | 'key', name: CertificateName) => {
    const pem = certificate(name);
    const key = pem.replace(CERTIFICATE, '');
    writeFileSync(join(cwd, `chat.${file}`), file === 'key' ? key : CERTIFICATE.exec(pem)![0]);
  };
  put('cert', 'chat');
  put('key', 'chat');
  writeFileSync(
    join(cwd, 'tidegate.config.yaml'),
    `listeners:
  - address: 127.0.0.1:0
    tls: { certificates: { cert: chat.cert, key: chat.key } }
routes: [{ to: "http://127.0.0.1:1" }]
reload: { watch: true }
log: { level: debug }
`,
  );
  const cli = await running(new Cli(['serve'], { cwd }));
  const listening = await cli.stderr.next((line) => line.startsWith('  listening on https://127.0.0.1:'));
  const port = Number(listening.split(':').at(-1));
  expect(await shownAt(port)).toBe('CN=chat');

  put('cert', 'chat-renewed');
  await cli.stderr.next((line) =>
    line.includes(`${join(cwd, 'chat.cert')} has changed, but it cannot be used`),
  );
  expect(await cli.stderr.next((line) => line.includes('error:   '))).toMatch(
    /tidegate\.config\.yaml:3:\d+: listeners\[0\]\.tls\.certificates\[0\]\.key: the key in .*chat\.key is not that of/,
  );
  expect(await shownAt(port)).toBe('CN=chat');
  put('key', 'chat-renewed');
  await cli.stderr.next((line) =>
    line.includes('reloaded tidegate.config.yaml: listener 127.0.0.1:0 changed'),
  );
  expect(await shownAt(port)).toBe('CN=chat\\, renewed');

  await expect(connectWs(`ws://127.0.0.1:${port}/`)).rejects.toThrow();
  await cli.stderr.next((line) =>
    line.includes('TLS handshake of 127.0.0.1 at listeners[0] failed: http request'),
  );
  cli.signal('SIGTERM');
  expect(await cli.exited).toBe(0);
});
