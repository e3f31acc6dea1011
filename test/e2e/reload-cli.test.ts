/** Reloads of a proxy that the command line has started: by signal, by command, by a file that changes. */
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ReloadResult, Status } from '../../src/admin/target.js';
import { Cli, runCli } from '../fixtures/cli.js';
import { connectWs, startWsServer, type WsServer } from '../fixtures/peers/ws.js';
import { running } from '../fixtures/running.js';
import { useFolders } from '../fixtures/folders.js';

const folder = useFolders('reload-cli');
let backends: readonly [WsServer, WsServer];
beforeAll(async () => {
  backends = [await startWsServer(), await startWsServer()];
});
afterAll(async () => {
  await Promise.all(backends.map((backend) => backend.stop()));
});

describe('the command line', () => {
  const config = (more: string) => `listeners: [127.0.0.1:0]
admin: 127.0.0.1:0
upstreams:
  chat:
    servers: ["${backends[0].url}", http://127.0.0.1:1]
    health: { type: tcp, interval: 100ms, fall: 1 }
${more}`;
  const ROUTE = 'routes: [{ name: chat, to: chat }]\n';

  test('SIGHUP, tidegate reload: errors with their place; health, counters and tunnels survive', async () => {
    const cwd = folder();
    const file = join(cwd, 'tidegate.config.yaml');
    writeFileSync(file, config(ROUTE));
    const cli = await running(new Cli(['serve'], { cwd }));
    const url = await cli.url();
    const admin = (await cli.stderr.next((line) => line.includes('admin API on'))).split(' ').at(-1)!;
    const api = (...args: string[]) => runCli([...args, '--admin', admin], { cwd });
    const status = async () => JSON.parse((await api('status', '--json')).stdout) as Status;
    await cli.stderr.next((line) => line.includes('http://127.0.0.1:1 is down'));
    const peer = await connectWs(`${url}/x`);
    const before = await status();

    writeFileSync(file, `${config('routes: [{ name: chat, to: chta }]\n')}limit: {}\n`);
    const where =
      /tidegate\.config\.yaml:7:24: routes\[0\]\.to: no upstream named "chta"; did you mean "chat"\?/;
    cli.signal('SIGHUP');
    await cli.stderr.next((line) => line.includes('SIGHUP, but it cannot be used; nothing was changed'));
    expect(await cli.stderr.next((line) => line.includes('error:   '))).toMatch(where);
    expect(await cli.stderr.next((line) => line.includes('error:   '))).toContain('config.yaml:8:1: limit');
    const refused = await api('reload');
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toMatch(where);

    writeFileSync(file, config(`${ROUTE}log: { level: debug }\nrelay: stream\nlimits: { connections: 5 }\n`));
    cli.signal('SIGHUP');
    const line = await cli.stderr.next((line) => line.includes('info: reloaded'));
    expect(line).toContain('reloaded tidegate.config.yaml: limits changed; log changed');
    await cli.stderr.next((line) => line.includes('warn: relay has changed, which takes a restart'));
    const again = await api('reload', '--json');
    expect((JSON.parse(again.stdout) as ReloadResult).changes).toEqual([]);
    await connectWs(`${url}/x`);
    await cli.stderr.next((line) => line.includes('debug: session'));

    const after = await status();
    const [up, down] = after.upstreams[0]!.servers;
    expect(down).toEqual(before.upstreams[0]!.servers[1]);
    expect(up).toMatchObject({ state: 'up', active: 2, since: before.upstreams[0]!.servers[0]!.since });
    expect(after.routes[0]!.sessions).toEqual({ open: 2, total: 2, outcomes: {}, messagesDropped: 0 });
    expect(after.listeners).toEqual(before.listeners);
    peer.socket.send('still here');
    expect(await peer.messages.next()).toBe('still here');

    peer.socket.pause();
    cli.signal('SIGTERM');
    await cli.stderr.next((line) => line.includes('SIGTERM: taking no new work'));
    cli.signal('SIGHUP');
    await cli.stderr.next((line) => line.includes('SIGHUP: a proxy that drains takes no other'));
    const late = await api('reload');
    expect(late).toMatchObject({ code: 1, stderr: expect.stringContaining('a proxy that drains') as string });
  });

  test('watch: a file written in place, replaced by another, and behind a link that is turned', async () => {
    const cwd = folder();
    const text = (name: string) => config(`routes: [{ name: ${name}, to: chat }]\nreload: { watch: true }\n`);
    const put = (dir: string, name: string) => {
      mkdirSync(join(cwd, dir));
      writeFileSync(join(cwd, dir, 'tidegate.config.yaml'), text(name));
    };
    put('..1', 'one');
    symlinkSync('..1', join(cwd, '..data'));
    const file = join(cwd, 'tidegate.config.yaml');
    symlinkSync('..data/tidegate.config.yaml', file);
    const cli = await running(new Cli(['serve'], { cwd }));
    await cli.url();
    const reloaded = (name: string) => cli.stderr.next((line) => line.includes(`route ${name} added`));

    put('..2', 'two');
    symlinkSync('..2', join(cwd, '..next'));
    renameSync(join(cwd, '..next'), join(cwd, '..data'));
    await reloaded('two');
    writeFileSync(join(cwd, 'new.yaml'), text('three'));
    renameSync(join(cwd, 'new.yaml'), file);
    await reloaded('three');
    writeFileSync(file, text('four'));
    await reloaded('four');
    writeFileSync(file, 'routes: [');
    await cli.stderr.next((line) =>
      line.includes('the configuration file has changed, but it cannot be used'),
    );
    writeFileSync(file, text('five'));
    await reloaded('five');
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
  });

  test('a configuration in JavaScript is run again', async () => {
    const cwd = folder();
    const file = join(cwd, 'tidegate.config.mjs');
    const text = (name: string) =>
      `export default { listeners: ['127.0.0.1:0'], routes: [{ name: '${name}', to: '${backends[0].url}' }] };\n`;
    writeFileSync(file, text('one'));
    const cli = await running(new Cli(['serve'], { cwd }));
    await cli.url();
    writeFileSync(file, text('two'));
    cli.signal('SIGHUP');
    await cli.stderr.next((line) => line.includes('route two added; route one removed'));
    writeFileSync(file, 'export default {\n  routes: nothing\n};\n');
    cli.signal('SIGHUP');
    await cli.stderr.next((line) => /tidegate\.config\.mjs:2:\d+: ReferenceError/.test(line));
  });

  test('without a file there is nothing to reload', async () => {
    const args = ['proxy', '--listen', '127.0.0.1:0', '--to', backends[0].url, '--admin', '127.0.0.1:0'];
    const cli = await running(new Cli(args));
    await cli.url();
    const admin = (await cli.stderr.next((line) => line.includes('admin API on'))).split(' ').at(-1)!;
    cli.signal('SIGHUP');
    await cli.stderr.next((line) =>
      line.includes('info: SIGHUP: there is no configuration file to read again'),
    );
    expect(await runCli(['reload', '--admin', admin])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('there is no configuration file to read again') as string,
    });
  });
});
