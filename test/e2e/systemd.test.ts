/** `tidegate serve` as a service of systemd: what it tells through sd_notify(3), and the unit that is in the package. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parseConfig } from '../../src/config/parse.js';
import { Cli, runCli } from '../fixtures/cli.js';
import { needCommand } from '../fixtures/need.js';
import { needNotify, startNotifySocket } from '../fixtures/peers/notify-socket.js';
import { connectWs, startWsServer } from '../fixtures/peers/ws.js';
import { running } from '../fixtures/running.js';

const top = fileURLToPath(new URL('../../', import.meta.url));
const unit = readFileSync(join(top, 'packaging/systemd/tidegate.service'), 'utf8');
const needAnalyze = needCommand('systemd-analyze');

describe.skipIf(needNotify.missing)(`told to systemd${needNotify.note}`, () => {
  test.each(['path', 'abstract'] as const)('a life from start to stop (socket: %s)', async (kind) => {
    const { manager, cli, config, write } = await start(kind);
    const ready = await manager.told.next((line) => line.startsWith('READY=1'));
    const listener = /^READY=1\tSTATUS=listening on (http:\/\/127\.0\.0\.1:\d+)$/.exec(ready);
    const client = await running(connectWs(`${listener?.[1]}/chat`));

    cli.signal('SIGHUP');
    expect(await manager.told.next((line) => line.startsWith('RELOADING'))).toMatch(
      /^RELOADING=1\tMONOTONIC_USEC=\d+$/,
    );
    expect(await manager.told.next((line) => line.startsWith('READY'))).toBe(
      'READY=1\tSTATUS=reloaded tidegate.config.yaml: nothing has changed',
    );

    write(config.replace('to: chat', 'to: chta'));
    cli.signal('SIGHUP');
    const refused = await manager.told.next((line) => line.startsWith('READY'));
    expect(refused).toContain('refused, nothing was changed: tidegate.config.yaml:4:');
    expect(refused).toContain('no upstream named "chta"');

    client.socket.pause();
    cli.signal('SIGTERM');
    const stopping = await manager.told.next((line) => line.startsWith('STOPPING'));
    expect(stopping).toMatch(
      /^STOPPING=1\tEXTEND_TIMEOUT_USEC=(\d+)\tSTATUS=SIGTERM: taking no new work; 1 session/,
    );
    // The drain's 7 minutes and the margin behind them.
    const extensionSeconds = Number(/USEC=(\d+)/.exec(stopping)![1]) / 1e6;
    expect(extensionSeconds).toBeGreaterThan(420);
    expect(extensionSeconds).toBeLessThanOrEqual(430);
    // Told while it drains: the client answers no Close that it has not read.
    client.socket.resume();
    expect(await client.closed).toEqual({ code: 1001, reason: '' });
    expect(await cli.exited).toBe(0);
    expect((await manager.finish()).map(firstWord)).toEqual([
      'READY=1',
      'RELOADING=1',
      'READY=1',
      'RELOADING=1',
      'READY=1',
      'STOPPING=1',
    ]);

    async function start(kind: 'path' | 'abstract') {
      const manager = await running(startNotifySocket(kind));
      const backend = await running(
        startWsServer({}, (end) => end.socket.on('message', (text) => end.socket.send(text as Buffer))),
      );
      const config = `listeners: [127.0.0.1:0]
upstreams: { chat: '${backend.url}' }
drain: { timeout: 7m, spread: 0 }
routes: [{ to: chat }]
`;
      const { cwd, write } = folder(config);
      const env = { NOTIFY_SOCKET: manager.address };
      const cli = await running(new Cli(['serve'], { cwd, env }));
      return { manager, cli, config, write };
    }
  });

  test('nothing is told of a start that failed', async () => {
    const manager = await running(startNotifySocket('path'));
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void taken.close());
    const { port } = taken.address() as AddressInfo;
    const args = ['proxy', '--listen', `127.0.0.1:${port}`, '--to', 'http://127.0.0.1:1'];
    expect(await runCli(args, { env: { NOTIFY_SOCKET: manager.address } })).toMatchObject({ code: 1 });
    expect(await manager.finish()).toEqual([]);
  });

  test('a watchdog hears from it', async () => {
    const manager = await running(startNotifySocket('path'));
    const args = ['proxy', '--listen', '127.0.0.1:0', '--to', 'http://127.0.0.1:1'];
    const env = { NOTIFY_SOCKET: manager.address, WATCHDOG_USEC: '200000' };
    const cli = await running(new Cli(args, { env }));
    await manager.told.next((line) => line === 'WATCHDOG=1');
    await manager.told.next((line) => line === 'WATCHDOG=1');
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
    expect((await manager.finish()).map(firstWord)[0]).toBe('READY=1');
  });

  test('nobody listens at the socket: one warning, and it serves', async () => {
    const args = ['proxy', '--listen', '127.0.0.1:0', '--to', 'http://127.0.0.1:1'];
    const cli = await running(new Cli(args, { env: { NOTIFY_SOCKET: join(tmpdir(), 'nobody-listens') } }));
    const url = await cli.url();
    await cli.stderr.next((line) => line.includes('warn: systemd cannot be told how this service is: '));
    expect((await fetch(url)).status).toBe(502);
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
    expect(cli.stderr.all.filter((line) => line.includes('systemd'))).toHaveLength(1);
  });
});

describe('the unit', () => {
  test.skipIf(needAnalyze.missing)(`is one that systemd takes${needAnalyze.note}`, () => {
    const { cwd } = folder('');
    const file = join(cwd, 'tidegate.service');
    // It looks for the program, which is not installed here.
    writeFileSync(file, unit.replaceAll(/^(Exec\w+=)tidegate /gm, `$1${join(top, 'bin/tidegate.js')} `));
    const { status, stdout, stderr } = spawnSync(
      needAnalyze.path!,
      ['verify', '--man=no', '--recursive-errors=no', file],
      { encoding: 'utf8' },
    );
    // Other units of this machine may have complaints of their own.
    const complaints = `${stdout}\n${stderr}`.split('\n').filter((line) => line.includes('tidegate'));
    expect({ status, complaints }).toEqual({ status: 0, complaints: [] });
  });

  test('its commands are ones of the command line', async () => {
    const commands = [...unit.matchAll(/^Exec\w+=tidegate (\w+)(?: (--\w+))?/gm)];
    expect(commands.map(([, name]) => name)).toEqual(['serve', 'reload']);
    for (const [, name, option = ''] of commands) {
      expect((await runCli([name!, '--help'])).stdout).toContain(option);
    }
  });

  test('gives a stop more time than a drain takes unless told otherwise', () => {
    const { drain } = parseConfig({ routes: [{ to: 'http://127.0.0.1:1' }] });
    const seconds = Number(/^TimeoutStopSec=(\d+)s$/m.exec(unit)?.[1]);
    expect(seconds * 1000).toBeGreaterThan(drain.timeout);
  });
});

function folder(config: string): { cwd: string; write: (text: string) => void } {
  const cwd = mkdtempSync(join(tmpdir(), 'tidegate-systemd-'));
  onTestFinished(() => rmSync(cwd, { recursive: true }));
  const write = (text: string) => writeFileSync(join(cwd, 'tidegate.config.yaml'), text);
  write(config);
  return { cwd, write };
}

const firstWord = (line: string): string => line.split('\t')[0]!;
