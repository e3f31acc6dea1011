/** A Tidegate that may open no more files, on both engines. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { AccessRecord } from '../../src/observe/record.js';
import { Cli } from '../fixtures/cli.js';
import { engines, refusalOf } from '../fixtures/faults.js';
import { needCommand } from '../fixtures/need.js';
import { startWsServer } from '../fixtures/peers/ws.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';
import { upgradeHead } from '../fixtures/rfc6455.js';
import { running } from '../fixtures/running.js';

const prlimit = needCommand('prlimit');

describe.skipIf(prlimit.missing)(`no descriptors left${prlimit.note}`, () => {
  test.each(engines)(
    'told as ours, held against no server, no reason to spin, and over when some are free again: %s',
    async (relay) => {
      const servers = [await running(startWsServer()), await running(startWsServer())];
      const cli = await serve({
        relay,
        upstreams: { chat: { servers: servers.map(({ url }) => url), passiveHealth: { failures: 1 } } },
        routes: [{ to: 'chat' }],
      });
      const port = Number(new URL(await cli.url()).port);
      const ask = async (): Promise<RawPeer> => {
        const client = await RawPeer.connect(port);
        client.write(upgradeHead('x'));
        return client;
      };
      const enter = async (): Promise<RawPeer> => {
        const client = await ask();
        expect((await client.head())[0]).toBe('HTTP/1.1 101 Switching Protocols');
        return client;
      };
      // What is opened once, at the first need, is there from now on.
      const clients = [await enter(), await enter()];
      if (relay === 'stream') {
        await takeReserveDown(cli.pid, port);
        clients.push(await enter());
      }
      leave(cli.pid, 2 * 3 + 1);
      for (let i = 0; i < 3; i++) clients.push(await enter());

      // One is left: it is for the client, and there is none for its server.
      const open = openFiles(cli.pid).length;
      expect(await refusalOf(await ask())).toBe('503 PROXY_EXHAUSTED');
      const record = JSON.parse(await cli.stdout.next()) as AccessRecord;
      expect(record).toMatchObject({ status: 503, outcome: 'failed(PROXY_EXHAUSTED)' });
      expect(record.detail).toContain('EMFILE');

      await eventually(() => openFiles(cli.pid).length === open, 'the one that was refused is gone');

      // None is left: who comes now waits, or is cut, which is the engine’s to say; neither costs any time.
      const idle = await RawPeer.connect(port);
      const late = await ask();
      const before = busyMs(cli.pid);
      await new Promise((resolve) => setTimeout(resolve, 1000));
      expect(busyMs(cli.pid) - before).toBeLessThan(300);
      expect(late.unread.length).toBe(0);
      // Node tells nobody: the kernel’s queue is emptied, and who was in it is gone.
      const told = cli.stderr.all.filter((line) => line.includes('can take no clients (EMFILE)'));
      // Once for each time that there were none: when the last was taken, and now.
      expect([0, 1, 2]).toContain(told.length);
      expect(told.length > 0).toBe(relay !== 'stream');

      for (const client of clients) client.destroy();
      idle.destroy();
      // Those of the clients come free before those of their servers: there may be one again, and not yet two.
      if (late.ending === undefined) expect((await late.head())[0]).toMatch(/ (?:101|503) /);
      for (const _ of clients) await cli.stdout.next((line) => line.includes('"status":101'));
      await enter();
      expect(cli.stderr.all.filter((line) => line.includes('ejected'))).toEqual([]);
      cli.signal('SIGTERM');
    },
  );
});

async function serve(config: object): Promise<Cli> {
  const cwd = mkdtempSync(join(tmpdir(), 'tidegate-faults-'));
  onTestFinished(() => rmSync(cwd, { recursive: true }));
  const whole = { listeners: ['127.0.0.1:0'], relayThreads: 1, ...config };
  writeFileSync(join(cwd, 'tidegate.config.json'), JSON.stringify(whole));
  return await running(new Cli(['serve'], { cwd }));
}

/** Lets a process open so many more files. The limit is on the numbers of descriptors, the lowest being taken first. */
function leave(pid: number, count: number): void {
  const open = new Set(openFiles(pid));
  let limit = 0;
  for (let free = 0; free < count; limit++) if (!open.has(String(limit))) free++;
  execFileSync(prlimit.path!, ['--pid', String(pid), `--nofile=${limit}:`]);
}

/**
 * libuv keeps a descriptor in reserve, to empty the queue of clients with when there is no other. It took its number while
 * many files were open, and could not have it again below a limit that is set later: it is made to take a low one.
 */
async function takeReserveDown(pid: number, port: number): Promise<void> {
  const before = openFiles(pid).length;
  leave(pid, 0);
  const spilt = await RawPeer.connect(port);
  await eventually(() => openFiles(pid).length < before, 'the reserve is used');
  leave(pid, 64);
  spilt.destroy();
}

function openFiles(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`);
}

/** Processor time that it has had, in ms: user and system, in hundredths of a second (proc(5)). */
function busyMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
