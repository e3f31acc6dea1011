/** Threads, descriptors and memory of the engine must not outlive Node's environment, nor end before it. */
import { createServer, type AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { loadNative } from '../../src/relay/native-binding.js';
import { Child } from '../fixtures/child.js';
import { RawPeer } from '../fixtures/raw-peer.js';

const native = loadNative();
const missing = 'reason' in native;
const program = fileURLToPath(new URL('tunnel-program.mjs', import.meta.url));

describe.skipIf(missing)(
  `a process with a live tunnel${missing ? ` — skipped: ${native.reason}` : ''}`,
  () => {
    test.each([
      ['exit', 3],
      ['throw', 1],
    ])('%s: ends at once, and the tunnel is cut', async (word, code) => {
      const { child, client, upstream } = await tunnel();
      child.write(word);
      expect(await child.exited).toBe(code);
      expect(await client.ended).toBe('reset');
      expect(await upstream.ended).toBe('reset');
    });

    test('is kept by it, and ends with it', async () => {
      const { child, client, upstream } = await tunnel();
      client.end();
      await upstream.ended;
      upstream.write('still here');
      await client.until('still here');
      upstream.end();
      expect(JSON.parse(await child.lines.next())).toEqual({ first: 'client', how: 'end' });
      expect(await child.exited).toBe(0);
    });

    test('a worker thread that is terminated takes its tunnel along, and nothing else', async () => {
      const { child, client, upstream } = await tunnel('worker');
      child.write('terminate');
      expect(await client.ended).toBe('reset');
      expect(await upstream.ended).toBe('reset');
      expect(await child.lines.next()).toBe('terminated');
      child.end();
      expect(await child.exited).toBe(0);
    });
  },
);

async function tunnel(...how: string[]) {
  const server = createServer({ allowHalfOpen: true });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const accepted = new Promise<RawPeer>((resolve) =>
    server.once('connection', (socket) => resolve(new RawPeer(socket))),
  );
  const { port } = server.address() as AddressInfo;
  const child = new Child('tunnel', process.execPath, [program, String(port), ...how]);
  onTestFinished(() => child.stop());
  const client = await RawPeer.connect(Number((await child.lines.next()).split(' ')[1]));
  const upstream = await accepted;
  server.close();
  expect(await child.lines.next()).toBe('joined');
  expect((await client.take(4)).toString()).toBe('HEAD');
  client.write('up');
  expect((await upstream.take(2)).toString()).toBe('up');
  return { child, client, upstream };
}
