import { describe, expect, it } from 'vitest';
import type { Parsed } from './leaf.js';
import { formatListenAddress, overlap, parseListenAddress } from './listen-address.js';

describe('listen addresses', () => {
  it.each([
    [8080, undefined, 8080, '8080'],
    ['8080', undefined, 8080, '8080'],
    [0, undefined, 0, '0'],
    ['0.0.0.0:8080', '0.0.0.0', 8080, '0.0.0.0:8080'],
    ['127.0.0.1:65535', '127.0.0.1', 65_535, '127.0.0.1:65535'],
    ['localhost:3000', 'localhost', 3000, 'localhost:3000'],
    ['[::1]:8080', '::1', 8080, '[::1]:8080'],
    ['[::]:8080', '::', 8080, '[::]:8080'],
  ])('%j', (written, host, port, formatted) => {
    const address = value(parseListenAddress(written));
    expect(address).toEqual({ host, port });
    expect(formatListenAddress(address)).toBe(formatted);
  });

  it.each([
    ['unix:/run/a.sock', '/run/a.sock', 'unix:/run/a.sock'],
    ['unix:a.sock', 'a.sock', 'unix:a.sock'],
    ['unix:///run/a.sock', '/run/a.sock', 'unix:/run/a.sock'],
  ])('%j', (written, socketPath, formatted) => {
    const address = value(parseListenAddress(written));
    expect(address).toEqual({ socketPath });
    expect(formatListenAddress(address)).toBe(formatted);
  });

  it.each([
    ['', undefined],
    ['/run/a.sock', 'unix:/run/a.sock'],
    ['unix:', undefined],
    ['localhost', undefined],
    ['127.0.0.1', undefined],
    ['1.2.3:80', undefined],
    ['300.0.0.1:80', undefined],
    [':8080', '8080'],
    ['*:8080', '8080'],
    ['::1:8080', '[::1]:8080'],
    ['[::g]:80', undefined],
    ['[127.0.0.1]:80', undefined],
    ['8080/tcp', undefined],
    ['http://127.0.0.1:8080', '127.0.0.1:8080'],
    ['65536', undefined],
    [-1, undefined],
    [80.5, undefined],
    ['-host:80', undefined],
  ])('%j is none', (written, suggestion) => {
    expect(parseListenAddress(written)).toMatchObject({ ok: false, suggestion });
  });

  it.each([
    ['8080', '8080', true],
    ['8080', '8081', false],
    ['8080', '127.0.0.1:8080', true],
    ['[::]:8080', '0.0.0.0:8080', true],
    ['0.0.0.0:8080', '127.0.0.1:8080', true],
    ['0.0.0.0:8080', '[::1]:8080', false],
    ['127.0.0.1:8080', '127.0.0.2:8080', false],
    ['localhost:80', 'LOCALHOST:80', true],
    ['0', '0', false],
    ['unix:/a', 'unix:/a', true],
    ['unix:/a', 'unix:/b', false],
    ['unix:/a', '8080', false],
  ])('%s and %s overlap: %s', (a, b, expected) => {
    expect(overlap(value(parseListenAddress(a)), value(parseListenAddress(b)))).toBe(expected);
    expect(overlap(value(parseListenAddress(b)), value(parseListenAddress(a)))).toBe(expected);
  });
});

function value<T>(parsed: Parsed<T>): T {
  if (!parsed.ok) throw new Error(parsed.wrong);
  return parsed.value;
}
