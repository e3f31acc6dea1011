import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { Child } from './fixtures/child.js';
import { needCommand } from './fixtures/need.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const isLinux = process.platform === 'linux';
const compiler = isLinux ? needCommand('cc') : { missing: true, note: ' — skipped: it runs on Linux only' };

interface Row {
  readonly subject: string;
  readonly failure?: string;
  readonly figures: Readonly<Record<string, { readonly median: number }>>;
}

describe.skipIf(compiler.missing)(`the benchmark${compiler.note}`, () => {
  it('takes a few messages and handshakes through Tidegate and counts every one', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-bench-test-'));
    try {
      const file = join(folder, 'result.json');
      const tiny =
        '--engines stream --against none --connections 2 --sizes 64 --messages 100 --repeat 1'.split(' ');
      const { status, stdout, stderr } = bench(
        ...tiny,
        '--cores',
        'none',
        '--only',
        'echo,up,down,handshake',
        '--save',
        file,
      );
      expect(stdout + stderr).not.toContain('FAILED');
      expect(status).toBe(0);

      const { cases } = JSON.parse(readFileSync(file, 'utf8')) as { cases: { id: string; rows: Row[] }[] };
      expect(cases.map(({ id }) => id)).toEqual(['echo-2-64', 'down-2-64', 'up-2-64', 'handshake-2']);
      for (const { rows } of cases) {
        expect(rows.map(({ subject }) => subject)).toEqual(['direct', 'tidegate-stream']);
        for (const { figures } of rows) expect(figures['messages']?.median).toBe(100);
        expect(rows[1]?.figures['cpuUs']?.median).toBeGreaterThan(0);
        expect(rows[0]?.figures['cpuUs']).toBeUndefined();
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 90_000);

  it.each([
    ['--only everything', '--only: everything is none of'],
    ['--sizes 7', '--sizes: 7 is no size from 8 B'],
    ['--repeat 0', '--repeat: 0 is no whole number above 0'],
    ['--fast', "Unknown option '--fast'"],
  ])('refuses %s', (args, message) => {
    const { status, stderr } = bench(...args.split(' '));
    expect(stderr).toContain(message);
    expect(status).toBe(2);
  });
});

describe.skipIf(compiler.missing)(
  `the load generator reports a fault instead of figures${compiler.note}`,
  () => {
    let load: string;
    let backend: Child;
    let backendPort: number;
    beforeAll(async () => {
      load = buildLoad();
      backend = new Child('backend', load, ['backend', '--max-size', '65536']);
      const { ports } = JSON.parse(await backend.lines.next()) as { ports: number[] };
      backendPort = ports[0]!;
    }, 60_000);
    afterAll(() => backend?.stop());

    /** What a client prints that goes through a relay which treats what the server sends in this way. */
    async function through(
      treat: (chunk: Buffer, isHead: boolean, client: Socket) => Buffer,
      ...options: string[]
    ): Promise<string[]> {
      const relay = createServer((client) => {
        const upstream = connect(backendPort, '127.0.0.1');
        let isHead = true;
        client.on('data', (chunk) => upstream.write(chunk));
        upstream.on('data', (chunk) => {
          client.write(treat(chunk, isHead, client));
          isHead = false;
        });
        client.on('end', () => upstream.end());
        upstream.on('end', () => client.end());
        client.on('error', () => upstream.destroy());
        upstream.on('error', () => client.destroy());
      });
      relay.listen(0, '127.0.0.1');
      onTestFinished(() => void relay.close());
      await once(relay, 'listening');
      const { port } = relay.address() as AddressInfo;
      const client = new Child('client', load, [
        'client',
        ...['--port', String(port), '--size', '300', '--messages', '10', '--warm-up', '0'],
        ...options,
      ]);
      client.write('go');
      client.write('close');
      await client.exited;
      const lines: string[] = [];
      for (;;) {
        const line = await client.lines.next().catch(() => undefined);
        if (line === undefined) return lines;
        lines.push(line);
      }
    }

    const events = (lines: string[]) =>
      lines.map(
        (line) => (JSON.parse(line) as { event: string; reason?: string }).reason ?? line.split('"')[3],
      );

    it.each(['echo', 'down', 'up', 'handshake', 'paced', 'idle'])('%s: no fault, no report', async (mode) => {
      expect(events(await through((chunk) => chunk, '--mode', mode))).toEqual(['ready', 'done', 'closed']);
    });

    const changedAt = (chunk: Buffer, from: string, to: string) =>
      Buffer.from(chunk.toString('latin1').replace(from, to), 'latin1');

    it.each<[string, (chunk: Buffer, isHead: boolean, client: Socket) => Buffer, string]>([
      [
        'a refusal',
        (chunk, isHead) => (isHead ? Buffer.from('HTTP/1.1 502 Bad Gateway\r\n\r\n') : chunk),
        "the answer is 'HTTP/1.1 502 Bad Gateway'",
      ],
      [
        'a wrong accept value',
        (chunk, isHead) => (isHead ? changedAt(chunk, 'Accept: ', 'Accept: A') : chunk),
        'the 101 has a wrong Sec-WebSocket-Accept',
      ],
      [
        'an extension that nobody agreed to',
        (chunk, isHead) =>
          isHead ? changedAt(chunk, 'Upgrade:', 'Sec-WebSocket-Extensions: x\r\nUpgrade:') : chunk,
        'the 101 has an extension that the backend did not choose',
      ],
      [
        'a changed byte',
        (chunk, isHead) => {
          if (!isHead) chunk[chunk.length - 1]! ^= 1;
          return chunk;
        },
        'message 0 came back changed',
      ],
      [
        'a message that comes twice',
        (chunk, isHead) => (isHead ? chunk : Buffer.concat([chunk, chunk])),
        'message 0 of connection 0 came instead of number 1',
      ],
      [
        'a message of another length',
        (chunk, isHead) => {
          if (!isHead) chunk[3]! ^= 1;
          return chunk;
        },
        'a message of 301 bytes',
      ],
      [
        'an end without a Close',
        (chunk, isHead, client) => {
          if (!isHead) client.end();
          return chunk;
        },
        'the connection ended without a Close',
      ],
    ])('%s', async (_, treat, reason) => {
      const all = events(await through(treat, '--mode', 'echo'));
      expect(all.at(-1)).toContain(reason);
      expect(all).not.toContain('done');
    });

    it('a flood that loses a message on the way to the client', async () => {
      // Messages of 300 bytes have a head of 4 bytes.
      const withoutFirst = (chunk: Buffer, isHead: boolean) => (isHead ? chunk : chunk.subarray(304));
      const all = events(await through(withoutFirst, '--mode', 'down'));
      expect(all.at(-1)).toContain('message 1 of connection 0 came instead of number 0');
    });
  },
);

function bench(...args: string[]) {
  return spawnSync(process.execPath, [join(root, 'bench', 'bench.mjs'), ...args], { encoding: 'utf8' });
}

function buildLoad(): string {
  const program = `import('./bench/lib/build-load.mjs').then(({ buildLoad }) => console.log(buildLoad()))`;
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', program], { cwd: root, encoding: 'utf8' });
  if (stdout === '') throw new Error(stderr);
  return stdout.trim();
}
