import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { ServiceManager, type ServiceManagerOptions } from './service-manager.js';

const under = { NOTIFY_SOCKET: '/run/systemd/notify' };

test('tells readiness, reloads and the stop, one message at a time', async () => {
  const { manager, sent, answer } = recorded();
  manager.ready('listening on 127.0.0.1:80');
  manager.reloading();
  manager.ready('reloaded');
  manager.stopping('SIGTERM: 2 sessions', 30_000);
  await vi.waitFor(() => expect(sent).toHaveLength(1));
  expect(sent[0]).toEqual(['READY=1', 'STATUS=listening on 127.0.0.1:80']);
  answer();
  await manager.close();
  expect(sent.slice(1)).toEqual([
    ['RELOADING=1', expect.stringMatching(/^MONOTONIC_USEC=\d+$/)],
    ['READY=1', 'STATUS=reloaded'],
    ['STOPPING=1', 'EXTEND_TIMEOUT_USEC=40000000', 'STATUS=SIGTERM: 2 sessions'],
  ]);
});

test('a reload that ends behind the stop does not look like a start', async () => {
  const { manager, sent, answer } = recorded();
  answer();
  manager.reloading();
  manager.stopping('SIGTERM', 0);
  manager.ready('reloaded');
  manager.reloading();
  manager.status('draining');
  await manager.close();
  expect(sent.map(([first]) => first)).toEqual(['RELOADING=1', 'STOPPING=1', 'STATUS=draining']);
});

test('the status is one line that systemd takes', async () => {
  const { manager, sent, answer } = recorded();
  answer();
  manager.status('a\nREADY=1');
  manager.status('ü'.repeat(5000));
  await manager.close();
  expect(sent[0]?.join()).not.toContain('\n');
  expect(Buffer.byteLength(sent[1]!.join())).toBeLessThan(4096);
});

test.each([{}, { NOTIFY_SOCKET: '' }])('without systemd (%j) nothing happens', async (env) => {
  const { manager, sent, answer } = recorded({ env: { ...env, WATCHDOG_USEC: '1000' } });
  answer();
  manager.ready('x');
  manager.reloading();
  manager.status('x');
  manager.stopping('x', 0);
  await manager.close();
  expect(sent).toEqual([]);
});

test('what cannot be sent is one warning', async () => {
  const warnings: string[] = [];
  const send = () => Promise.reject(new Error('Connection refused'));
  const manager = new ServiceManager({ env: under, send, log: { warn: (text) => warnings.push(text) } });
  manager.ready('x');
  manager.stopping('x', 0);
  await manager.close();
  expect(warnings).toEqual(['systemd cannot be told how this service is: Connection refused']);
});

test.each([
  ['', 'the program systemd-notify is not installed'],
  ['echo "Failed to notify init system: Connection refused" >&2; exit 1', 'Failed to notify init system: '],
])('the real sender, with a systemd-notify of %j', async (script, reason) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-notify-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  if (script !== '') {
    writeFileSync(join(folder, 'systemd-notify'), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, 'systemd-notify'), 0o755);
  }
  vi.stubEnv('PATH', folder);
  onTestFinished(() => void vi.unstubAllEnvs());
  const warnings: string[] = [];
  const manager = new ServiceManager({ env: under, log: { warn: (text) => warnings.push(text) } });
  manager.ready('x');
  await manager.close();
  expect(warnings).toEqual([expect.stringContaining(reason)]);
});

test.each<[NodeJS.ProcessEnv, boolean]>([
  [{ WATCHDOG_USEC: '20000' }, true],
  [{ WATCHDOG_USEC: '20000', WATCHDOG_PID: String(process.pid) }, true],
  [{ WATCHDOG_USEC: '20000', WATCHDOG_PID: '1' }, false],
  [{ WATCHDOG_USEC: 'soon' }, false],
  [{}, false],
])('the watchdog with %j', async (env, barks) => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const { manager, sent, answer } = recorded({ env: { ...under, ...env } });
  answer();
  await vi.advanceTimersByTimeAsync(100);
  expect(sent).toEqual([]);
  manager.ready('x');
  manager.ready('once more');
  await vi.advanceTimersByTimeAsync(35);
  await manager.close();
  await vi.advanceTimersByTimeAsync(100);
  expect(sent.filter(([first]) => first === 'WATCHDOG=1')).toHaveLength(barks ? 3 : 0);
});

test('a watchdog that is not heard in time does not pile up messages', async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const { manager, sent, answer } = recorded({ env: { ...under, WATCHDOG_USEC: '20000' } });
  manager.ready('x');
  await vi.advanceTimersByTimeAsync(1000);
  answer();
  await manager.close();
  expect(sent.map(([first]) => first)).toEqual(['READY=1', 'WATCHDOG=1']);
});

/** What it sends; nothing is answered before the first `answer()`, everything at once after it. */
function recorded(options: Partial<ServiceManagerOptions> = {}) {
  const sent: (readonly string[])[] = [];
  let answer: () => void = () => {};
  const answered = new Promise<void>((resolve) => (answer = resolve));
  const manager = new ServiceManager({
    env: under,
    log: { warn: (text) => expect.fail(text) },
    send: (variables) => {
      sent.push(variables);
      return answered;
    },
    ...options,
  });
  return { manager, sent, answer: () => answer() };
}
