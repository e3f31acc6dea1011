/** The clients of nghttp2, as Debian has them: `nghttp`, and `h2load` with many streams at once. */
import { execFile } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { certificateFile } from '../fixtures/certificates.js';
import { startBackend } from '../fixtures/http-backend.js';
import { needCommand } from '../fixtures/need.js';
import { startProxy } from '../fixtures/proxy.js';
import { running } from '../fixtures/running.js';

const nghttp = needCommand('nghttp');
const h2load = needCommand('h2load');
const pem = certificateFile('chat');
const secured = { tls: { certificates: [{ cert: pem, key: pem }] } };
const REQUESTS = 1000;

describe.each([
  ['by prior knowledge', 'http', {}],
  ['over TLS', 'https', secured],
])('%s', (_, scheme, tls) => {
  async function start() {
    const backend = await startBackend((request, response) => {
      response.setHeader('x-method', request.method ?? '');
      response.end('fine');
    });
    const proxy = await running(
      startProxy({
        listeners: [{ address: '127.0.0.1:0', http2: true, ...tls }],
        routes: [{ to: backend.url }],
      }),
    );
    return { proxy, url: `${scheme}://127.0.0.1:${proxy.port}/path?query` };
  }

  test.skipIf(nghttp.missing)(`nghttp: a request, frame by frame${nghttp.note}`, async () => {
    const { proxy, url } = await start();
    const told = await run(nghttp.path!, ['--null-out', '--verbose', '--no-verify-peer', url]);
    expect(told).toContain('recv SETTINGS frame');
    expect(told).toContain('SETTINGS_ENABLE_CONNECT_PROTOCOL(0x08):1');
    expect(told).toMatch(/recv \(stream_id=\d+\) :status: 200/);
    expect(told).toMatch(/recv \(stream_id=\d+\) x-method: GET/);
    expect(told).toMatch(/recv DATA frame <length=4, /);
    expect(told).not.toContain('RST_STREAM');
    expect(await proxy.nextRecord()).toMatchObject({ via: 'h2', path: '/path', status: 200 });
  });

  test.skipIf(h2load.missing)(
    `h2load: ${REQUESTS} requests, 50 at once on each of 4 connections${h2load.note}`,
    async () => {
      const { proxy, url } = await start();
      const told = await run(h2load.path!, ['-n', String(REQUESTS), '-c', '4', '-m', '50', url]);
      expect(told).toContain(
        `${REQUESTS} total, ${REQUESTS} started, ${REQUESTS} done, ${REQUESTS} succeeded, 0 failed`,
      );
      expect(told).toContain(`status codes: ${REQUESTS} 2xx, 0 3xx, 0 4xx, 0 5xx`);
      // The last records are written when the answers are out, which h2load may see first.
      for (let i = 0; i < REQUESTS; i++) await proxy.nextRecord();
      expect(new Set(proxy.records.map(({ via, status }) => `${via} ${status}`))).toEqual(
        new Set(['h2 200']),
      );
    },
  );
});

function run(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(command, args, { timeout: 60_000 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${error.message}\n${stdout}\n${stderr}`, { cause: error }));
      else resolve(stdout);
    });
  });
}
