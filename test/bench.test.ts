import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { createServer as createTlsServer } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { Child } from './fixtures/child.js';
import { needCommand, needOpenSsl } from './fixtures/need.js';

/** RFC 6455 §1.3. */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

const root = fileURLToPath(new URL('..', import.meta.url));
const isLinux = process.platform === 'linux';
const compiler = isLinux ? needCommand('cc') : { missing: true, note: ' — skipped: it runs on Linux only' };

const openSsl = isLinux ? needOpenSsl() : compiler;

interface Row {
  readonly subject: string;
  readonly failure?: string;
  readonly figures: Readonly<Record<string, { readonly median: number }>>;
}

describe.skipIf(compiler.missing)(`the benchmark${compiler.note}`, () => {
  /** A result that a few messages are enough for. */
  function measure(only: string, env: Record<string, string> = {}) {
    const file = join(temporaryFolder(), 'result.json');
    const tiny =
      '--engines stream --against none --connections 2 --sizes 64 --messages 100 --repeat 1 --idle 20';
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(root, 'bench', 'bench.mjs'), ...`${tiny} --cores none --only`.split(' '), only, '--save', file],
      { encoding: 'utf8', env: { ...process.env, ...env } },
    );
    expect(stdout + stderr).not.toContain('FAILED');
    if (status !== 0) throw new Error(stderr);
    const { cases } = JSON.parse(readFileSync(file, 'utf8')) as { cases: { id: string; rows: Row[] }[] };
    return { cases, stdout, stderr };
  }

  function expectEveryMessage({ rows }: { rows: Row[] }): void {
    expect(rows.map(({ subject }) => subject)).toEqual(['direct', 'tidegate-stream']);
    for (const { figures } of rows) expect(figures['messages']?.median).toBe(100);
    expect(rows[1]?.figures['cpuUs']?.median).toBeGreaterThan(0);
    expect(rows[0]?.figures['cpuUs']).toBeUndefined();
  }

  it('takes a few messages and handshakes through Tidegate and counts every one', () => {
    const { cases } = measure('echo,up,down,handshake');
    expect(cases.map(({ id }) => id)).toEqual(['echo-2-64', 'down-2-64', 'up-2-64', 'handshake-2']);
    cases.forEach(expectEveryMessage);
  }, 90_000);

  it.skipIf(openSsl.missing)(
    `does the same over TLS, idle tunnels included${openSsl.note}`,
    () => {
      const { cases, stdout } = measure('wss-echo,wss-up,wss-down,wss-handshake,wss-idle');
      const idle = cases.pop()!;
      expect(cases.map(({ id }) => id)).toEqual([
        'wss-echo-2-64',
        'wss-down-2-64',
        'wss-up-2-64',
        'wss-handshake-2',
      ]);
      cases.forEach(expectEveryMessage);
      expect(idle.id).toBe('wss-idle-20');
      expect(idle.rows.map(({ subject }) => subject)).toEqual(['tidegate-stream']);
      expect(stdout).toContain('wss echo: 2 connections, 64 B');
      expect(stdout).toContain('no proxy, no TLS');
    },
    120_000,
  );

  it('publishes through the gateway, sends events to a backend, and holds silent sessions', () => {
    const { cases, stdout } = measure('gateway');
    expect(cases.map(({ id }) => id)).toEqual(['fanout-2', 'events-2', 'sessions-20']);
    const figures = cases.map(({ rows }) => {
      expect(rows.map(({ subject }) => subject)).toEqual(['tidegate-gateway']);
      return rows[0]!.figures;
    });
    // Of what is published, both subscribers get each.
    expect(figures[0]!['messages']?.median).toBe(200);
    expect(figures[1]!['messages']?.median).toBe(100);
    for (const one of figures.slice(0, 2)) expect(one['cpuUs']?.median).toBeGreaterThan(0);
    expect(figures[2]!['baseBytes']?.median).toBeGreaterThan(0);
    expect(stdout).toContain('deliveries/s');
  }, 90_000);

  it('goes on without wss where there is no OpenSSL to build with, and says what is missing', () => {
    const without = join(temporaryFolder(), 'cc-without-openssl');
    writeFileSync(without, '#!/bin/sh\nfor option; do [ "$option" = -lssl ] && exit 1; done\nexec cc "$@"\n');
    chmodSync(without, 0o755);
    const { cases, stderr } = measure('echo,wss-echo', { CC: without });
    expect(cases.map(({ id }) => id)).toEqual(['echo-2-64']);
    expect(stderr).toMatch(/^not here: wss: .*Debian: apt-get install libssl-dev$/m);

    const alone = spawnSync(process.execPath, [join(root, 'bench', 'bench.mjs'), '--only', 'wss'], {
      encoding: 'utf8',
      env: { ...process.env, CC: without },
    });
    expect(alone.stderr).toMatch(/nothing to measure; .*wss: .*libssl-dev/);
    expect(alone.status).toBe(2);
  }, 90_000);

  it.each([
    ['--only everything', '--only: everything is none of'],
    ['--only wss-everything', '--only: wss-everything is none of'],
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
      return throughServer((enter) => createServer(enter), treat, ...options);
    }

    /** The same where that relay ends TLS, with one certificate while the client believes another or the same. */
    async function throughTls(
      certificates: { shown: string; believed: string },
      treat: (chunk: Buffer, isHead: boolean, client: Socket) => Buffer,
      ...options: string[]
    ): Promise<string[]> {
      const pem = readFileSync(certificates.shown);
      const open = (enter: (client: Socket) => void) =>
        createTlsServer({ cert: pem, key: pem, ALPNProtocols: ['http/1.1'] }, enter);
      return throughServer(open, treat, ...options, '--tls', certificates.believed);
    }

    async function throughServer(
      open: (enter: (client: Socket) => void) => Server,
      treat: (chunk: Buffer, isHead: boolean, client: Socket) => Buffer,
      ...options: string[]
    ): Promise<string[]> {
      const relay = open((client) => {
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

    describe.skipIf(openSsl.missing)(`over TLS${openSsl.note}`, () => {
      let own: string;
      let other: string;
      let folder: string;
      beforeAll(() => {
        folder = mkdtempSync(join(tmpdir(), 'tidegate-bench-test-'));
        [own, other] = ['own.pem', 'other.pem'].map((name) => {
          const file = join(folder, name);
          spawnSync(load, ['certificate', file]);
          return file;
        }) as [string, string];
      });
      afterAll(() => rmSync(folder, { recursive: true, force: true }));

      const asItIs = (chunk: Buffer) => chunk;

      it.each(['echo', 'down', 'up', 'handshake', 'paced', 'idle'])(
        '%s: no fault, no report',
        async (mode) => {
          const trusted = { shown: own, believed: own };
          // Of several records each.
          const large = mode === 'idle' ? [] : ['--size', '50000'];
          const all = await throughTls(trusted, asItIs, '--mode', mode, '--connections', '3', ...large);
          expect(events(all)).toEqual(['ready', 'done', 'closed']);
        },
      );

      it('a certificate that is not the benchmark’s', async () => {
        const all = await throughTls({ shown: other, believed: own }, asItIs, '--mode', 'echo');
        expect(events(all).at(-1)).toBe('TLS: handshake: certificate verify failed');
      });

      it('an end without a Close', async () => {
        const ends = (chunk: Buffer, isHead: boolean, client: Socket) => {
          if (!isHead) client.end();
          return chunk;
        };
        const all = events(await throughTls({ shown: own, believed: own }, ends, '--mode', 'echo'));
        expect(all.at(-1)).toContain('the connection ended without a Close');
      });

      it('a head that comes in pieces is read all the same', async () => {
        const inPieces = (chunk: Buffer, isHead: boolean, client: Socket) => {
          if (!isHead) return chunk;
          client.write(chunk.subarray(0, 40));
          return chunk.subarray(40);
        };
        const all = await throughTls({ shown: own, believed: own }, inPieces, '--mode', 'echo');
        expect(events(all)).toEqual(['ready', 'done', 'closed']);
      });
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

    describe('what is published', () => {
      /** What a client prints whose gateway gives out this in place of each message. */
      async function published(give: (frame: Buffer) => Buffer): Promise<(string | undefined)[]> {
        const subscribers: Duplex[] = [];
        let count = 0;
        const gateway = createHttpServer((req, res) => {
          req.on('data', (text: Buffer) => {
            const frame = Buffer.concat([Buffer.from([0x81, text.length]), text]);
            for (const socket of subscribers) socket.write(count < 2 ? frame : give(frame));
            count++;
          });
          req.on('end', () => res.end('taken'));
        });
        gateway.on('upgrade', (req, socket) => {
          const accept = createHash('sha1')
            .update(`${req.headers['sec-websocket-key']}${GUID}`)
            .digest('base64');
          socket.write(
            `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
          );
          socket.once('data', () => socket.end(Buffer.from([0x88, 2, 0x03, 0xe8])));
          socket.on('error', () => {});
          subscribers.push(socket);
        });
        gateway.listen(0, '127.0.0.1');
        onTestFinished(() => {
          gateway.close();
          for (const socket of subscribers) socket.destroy();
        });
        await once(gateway, 'listening');
        const port = String((gateway.address() as AddressInfo).port);
        const where = ['--port', port, '--publish-port', port, '--publish-as', 'plain', '--offer', 'nothing'];
        const how = ['--connections', '3', '--size', '100', '--messages', '10', '--warm-up', '0'];
        const client = new Child('client', load, ['client', '--mode', 'fanout', ...where, ...how]);
        client.write('go');
        client.write('close');
        await client.exited;
        const lines: string[] = [];
        for (;;) {
          const line = await client.lines.next().catch(() => undefined);
          if (line === undefined) return events(lines);
          lines.push(line);
        }
      }

      it('reaches everybody: no fault, no report', async () => {
        expect(await published((frame) => frame)).toEqual(['ready', 'done', 'closed']);
      });

      it('a message that comes twice', async () => {
        const all = await published((frame) => Buffer.concat([frame, frame]));
        expect(all.at(-1)).toMatch(/^connection \d: message \d came behind \d$/);
      });

      it('a message that comes changed', async () => {
        const all = await published((frame) => Buffer.concat([frame.subarray(0, -1), Buffer.from('!')]));
        expect(all.at(-1)).toMatch(/^connection \d: message \d came changed$/);
      });
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

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-bench-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function buildLoad(): string {
  const program = `import('./bench/lib/build-load.mjs').then(({ buildLoad }) => console.log(buildLoad().load))`;
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', program], { cwd: root, encoding: 'utf8' });
  if (stdout === '') throw new Error(stderr);
  return stdout.trim();
}
