import { describe, expect, it } from 'vitest';
import { formatAdminAddress, isLocal, parseAdminAddress } from './admin-address.js';
import { ConfigError } from './issues.js';
import { parseConfig } from './parse.js';

const TOKEN = 'a-token-that-is-long-enough';

describe('a configuration', () => {
  it('has no admin API unless it says so', () => {
    expect(admin(undefined)).toBeUndefined();
  });

  it('may give the address alone', () => {
    expect(admin('127.0.0.1:9090')).toEqual({
      address: { host: '127.0.0.1', port: 9090 },
      hosts: [],
      headerTimeout: 5000,
      idleTimeout: 5000,
    });
    expect(admin('unix:run/tidegate.sock')).toMatchObject({ address: { socketPath: 'run/tidegate.sock' } });
  });

  it.each([
    '127.0.0.1:9090',
    '127.9.9.9:9090',
    '[::1]:9090',
    'localhost:9090',
    'LOCALHOST:9090',
    'unix:/run/a.sock',
  ])('needs no token on %s', (address) => {
    expect(admin({ address })).toMatchObject({ address: {} });
  });

  it.each([
    ['0.0.0.0:9090', '0.0.0.0:9090'],
    ['192.0.2.1:9090', '192.0.2.1:9090'],
    ['[::]:9090', '[::]:9090'],
    ['admin.internal:9090', 'admin.internal:9090'],
    [9090, '9090 (every address)'],
  ])('needs one on %s', (address, shown) => {
    const message = `others than this machine can reach ${shown}: expected a \`token\` or \`tokenFile\` with it, or a loopback address or unix socket`;
    expect(problems({ address })).toEqual([`admin.address: ${message}`]);
    expect(problems(address)).toEqual([`admin: ${message}`]);
    expect(admin({ address, token: TOKEN })).toMatchObject({ token: TOKEN });
    expect(admin({ address, tokenFile: 'x' })).toMatchObject({ tokenFile: 'x' });
  });

  it.each([
    [
      { address: 'nowhere' },
      'admin.address: expected 127.0.0.1:PORT or unix:PATH, such as 127.0.0.1:9090 or unix:/run/tidegate.sock, found "nowhere"',
    ],
    [
      { address: '/run/a.sock' },
      'admin.address: expected 127.0.0.1:PORT or unix:PATH, such as 127.0.0.1:9090 or unix:/run/tidegate.sock, found "/run/a.sock"; did you mean "unix:/run/a.sock"?',
    ],
    [{}, 'admin.address: is missing; expected 127.0.0.1:PORT or unix:PATH'],
    [true, 'admin: expected an address, or an object with `address`, found true'],
    [{ address: '127.0.0.1:1', tokn: 'x' }, 'admin.tokn: unknown key; did you mean "token"?'],
    [
      { address: '127.0.0.1:1', token: 'short' },
      'admin.token: expected a token of 16 characters or more, found 5',
    ],
    [
      { address: '127.0.0.1:1', token: `${TOKEN} and spaces` },
      'admin.token: a token consists of letters, digits and `.`, `_`, `~`, `+`, `/`, `-`',
    ],
    [
      { address: '127.0.0.1:1', token: TOKEN, tokenFile: 'x' },
      'admin.tokenFile: expected `token` or `tokenFile`, found both',
    ],
    [
      { address: '127.0.0.1:1', hosts: 'a.example:80' },
      'admin.hosts: expected a host name without port, such as admin.example.com, found "a.example:80"',
    ],
    ['127.0.0.1:8080', 'admin: 127.0.0.1:8080 is taken by listeners[1] (8080)'],
    [{ address: '127.0.0.1:8080' }, 'admin.address: 127.0.0.1:8080 is taken by listeners[1] (8080)'],
  ])('%j: one line', (written, line) => {
    expect(problems(written)).toEqual([line]);
  });

  it('compares names in one form', () => {
    expect(admin({ address: '127.0.0.1:1', hosts: ['Admin.Example.', '[0::1]'] })).toMatchObject({
      hosts: ['admin.example', '[::1]'],
    });
  });
});

it('an address is written the way it is read', () => {
  for (const text of ['127.0.0.1:9090', '[::1]:9090', '9090', 'unix:/run/a.sock']) {
    const parsed = parseAdminAddress(text);
    expect(parsed.ok && formatAdminAddress(parsed.value)).toBe(text);
  }
});

it('a name that only looks like loopback is not local', () => {
  expect(isLocal({ host: '127.example.com', port: 1 })).toBe(false);
  expect(isLocal({ host: 'localhost.example.com', port: 1 })).toBe(false);
});

function admin(written: unknown) {
  return parseConfig({
    listeners: [8081, 8080],
    routes: [{ to: 'http://127.0.0.1:3000' }],
    ...(written === undefined ? {} : { admin: written }),
  }).admin;
}

function problems(written: unknown): string[] {
  try {
    admin(written);
  } catch (thrown) {
    if (thrown instanceof ConfigError) return thrown.message.split('\n');
    throw thrown;
  }
  return [];
}
