import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../config/issues.js';
import { describeFailure, UsageError } from './failure.js';

describe('what a failed command says', () => {
  it('configuration: every issue on a line, exit 2', () => {
    const error = new ConfigError([
      { path: 'routes', message: 'is missing', file: 'a.yaml', line: 1, column: 2 },
      { path: 'relay', message: 'is wrong' },
    ]);
    expect(describeFailure(error)).toEqual({
      lines: ['a.yaml:1:2: routes: is missing', 'relay: is wrong'],
      exitCode: 2,
    });
  });

  it('usage: the message, exit 2', () => {
    expect(describeFailure(new UsageError('--to: no'))).toEqual({ lines: ['--to: no'], exitCode: 2 });
  });

  it.each([
    [
      { code: 'EADDRINUSE', address: '127.0.0.1', port: 80 },
      'cannot listen on 127.0.0.1:80: the port is in use by another program',
    ],
    [
      { code: 'EADDRINUSE', address: '::', port: 80 },
      'cannot listen on [::]:80: the port is in use by another program',
    ],
    [
      { code: 'EACCES', address: '0.0.0.0', port: 80 },
      'cannot listen on 0.0.0.0:80: permission denied; ports below 1024 are for privileged users',
    ],
    [
      { code: 'EADDRNOTAVAIL', address: '192.0.2.1', port: 1 },
      'cannot listen on 192.0.2.1:1: this machine has no such address',
    ],
    [
      { code: 'ENOTFOUND', syscall: 'getaddrinfo', hostname: 'nowhere.invalid' },
      'cannot listen on nowhere.invalid: this host name is not known',
    ],
    [{ code: 'EMFILE', address: '::', port: 1 }, 'cannot listen on [::]:1: told by the system'],
  ])('listening: %j', (facts, line) => {
    const error = Object.assign(new Error('told by the system'), { syscall: 'listen' }, facts);
    expect(describeFailure(error)).toEqual({ lines: [line], exitCode: 1 });
  });

  it('a port that is really in use', async () => {
    const [first, second] = [createServer(), createServer()];
    await new Promise<void>((resolve) => first.listen(0, '127.0.0.1', resolve));
    const { port } = first.address() as { port: number };
    const error = await new Promise((resolve) => second.once('error', resolve).listen(port, '127.0.0.1'));
    first.close();
    expect(describeFailure(error).lines).toEqual([
      `cannot listen on 127.0.0.1:${port}: the port is in use by another program`,
    ]);
  });

  it('a fault of ours: with its stack, exit 1', () => {
    const { lines, exitCode } = describeFailure(new TypeError('x is not a function'));
    expect(lines[0]).toMatch(/^internal error, please report it: TypeError: x is not a function\n +at /);
    expect(exitCode).toBe(1);
    expect(describeFailure('thrown text').lines).toEqual(['internal error, please report it: thrown text']);
  });
});
