/**
 * The Dockerfile, its steps done one by one in a scratch folder, and what its ENTRYPOINT then serves. This proves that
 * what is copied suffices to build and to run, as the image lays it out. It proves nothing of the base images (their
 * compiler, their user, their Node), nor of Docker. `npm ci` is the one step that is not run: what is installed here is
 * copied, and the prune behind it is real.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { buildImage } from '../fixtures/dockerfile.js';
import { Inbox } from '../fixtures/inbox.js';
import { connectWs, startWsServer } from '../fixtures/peers/ws.js';
import { running } from '../fixtures/running.js';

const top = fileURLToPath(new URL('../../', import.meta.url));
const hasEngine = existsSync(join(top, 'native/build/Release/tidegate_relay.node'));
const note = hasEngine
  ? ''
  : ' — skipped: the native engine, which the image insists on, cannot be built here';

test.skipIf(!hasEngine)(
  `what the Dockerfile builds serves WebSockets and drains${note}`,
  async () => {
    const scratch = mkdtempSync(join(tmpdir(), 'tidegate-docker-'));
    onTestFinished(() => rmSync(scratch, { recursive: true }));
    const image = buildImage(top, scratch, (step, cwd) => {
      if (!step.startsWith('npm ci ')) return false;
      cpSync(join(top, 'node_modules'), join(cwd, 'node_modules'), {
        recursive: true,
        verbatimSymlinks: true,
      });
      return true;
    });

    expect(image.user).toBe('node');
    expect(readlinkSync(join(image.root, 'usr/local/bin/tidegate'))).toBe(
      join(image.root, 'opt/tidegate/bin/tidegate.js'),
    );
    // Nothing that only a developer needs.
    const files = readdirSync(join(image.root, 'opt/tidegate'), { recursive: true, encoding: 'utf8' });
    const unwanted = /^node_modules\/(typescript|vitest|oxlint)\/|^(?!node_modules\/).*\.test\.|^src\//;
    expect(files.filter((file) => unwanted.test(file))).toEqual([]);
    const bytes = files.reduce((sum, file) => sum + statSync(join(image.root, 'opt/tidegate', file)).size, 0);
    expect(bytes).toBeLessThan(40 * 2 ** 20);

    const backend = await running(startWsServer());
    writeFileSync(
      join(image.cwd, 'tidegate.config.yaml'),
      `listeners: [127.0.0.1:0]\nrelay: native\nroutes: [{ to: '${backend.url}' }]\ndrain: { spread: 0 }\n`,
    );
    expect(relative(image.root, image.cwd)).toBe('etc/tidegate');
    const [program, ...args] = image.command;
    expect(program).toBe('node');
    const container = spawn(process.execPath, args, {
      cwd: image.cwd,
      env: { ...process.env, ...image.env },
    });
    onTestFinished(() => void container.kill('SIGKILL'));
    const lines = new Inbox<string>('the container');
    createInterface({ input: container.stderr }).on('line', (line) => lines.push(line));
    container.once('close', () => lines.end('exited'));
    expect(await lines.next()).toBe('Tidegate is running as tidegate.config.yaml says; relay engine: native');
    const listening = await lines.next((line) => line.startsWith('  listening on '));
    const client = await running(connectWs(listening.slice('  listening on '.length)));
    client.socket.send('hello');
    expect(await client.messages.next()).toBe('hello');
    const ended = once(container, 'exit');
    container.kill(image.stopSignal as NodeJS.Signals);
    expect(await client.closed).toEqual({ code: 1001, reason: '' });
    expect(await ended).toEqual([0, null]);
  },
  180_000,
);
