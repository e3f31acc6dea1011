import { describe, expect, it } from 'vitest';
import { applyForwarded, type Forwarding, isForwardingClaim } from './forwarded.js';
import { HeaderList } from './header-list.js';
import { removeHopByHop } from './hop-by-hop.js';

const base: Forwarding = {
  clientAddress: '192.0.2.7',
  proto: 'https',
  host: 'chat.example',
  trusted: false,
  style: 'x-forwarded',
};

function applied(raw: string[], change: Partial<Forwarding> = {}): string[] {
  const headers = HeaderList.fromRaw(raw);
  applyForwarded(headers, { ...base, ...change });
  return headers.toRaw();
}

const ours = [
  'X-Forwarded-For',
  '192.0.2.7',
  'X-Forwarded-Proto',
  'https',
  'X-Forwarded-Host',
  'chat.example',
];
const oursRfc = ['Forwarded', 'for=192.0.2.7;proto=https;host=chat.example'];

describe('a client that is not trusted', () => {
  it.each([
    ['X-Forwarded-For', '6.6.6.6'],
    ['x-forwarded-for', '6.6.6.6'],
    ['X_Forwarded_For', '6.6.6.6'],
    ['X-Forwarded_For', '6.6.6.6'],
    ['X-Forwarded-Proto', 'ftp'],
    ['X-Forwarded-Host', 'evil.example'],
    ['X-Forwarded-Port', '1'],
    ['X-Forwarded-Server', 'x'],
    ['X-Forwarded-Anything', 'x'],
    ['X-Forwarded', 'for=6.6.6.6'],
    ['Forwarded', 'for=6.6.6.6'],
    ['FORWARDED', 'for=6.6.6.6'],
    ['X-Real-IP', '6.6.6.6'],
    ['X_REAL_IP', '6.6.6.6'],
    ['X-Client-IP', '6.6.6.6'],
    ['X-Cluster-Client-IP', '6.6.6.6'],
    ['True-Client-IP', '6.6.6.6'],
  ])('cannot forge %s', (name, value) => {
    for (const style of ['x-forwarded', 'forwarded', 'both', 'off'] as const) {
      const result = applied(['Host', 'a', name, value, name, value], { style });
      expect(result.join(' ')).not.toContain(value === 'x' || value === '1' ? name : value);
    }
  });

  it('is told of in the style asked for', () => {
    const raw = ['Host', 'a', 'X-Forwarded-For', '6.6.6.6', 'Forwarded', 'for=6.6.6.6'];
    expect(applied(raw, { style: 'x-forwarded' })).toEqual(['Host', 'a', ...ours]);
    expect(applied(raw, { style: 'forwarded' })).toEqual(['Host', 'a', ...oursRfc]);
    expect(applied(raw, { style: 'both' })).toEqual(['Host', 'a', ...ours, ...oursRfc]);
    expect(applied(raw, { style: 'off' })).toEqual(['Host', 'a']);
  });

  it('cannot name ours away in Connection', () => {
    const headers = HeaderList.fromRaw([
      'Connection',
      'X-Forwarded-For, X-Forwarded-Proto, Forwarded',
      'Host',
      'a',
    ]);
    removeHopByHop(headers);
    applyForwarded(headers, { ...base, style: 'both' });
    expect(headers.toRaw()).toEqual(['Host', 'a', ...ours, ...oursRfc]);
  });

  it('keeps fields that only look alike', () => {
    const raw = ['X-Forward', '1', 'X-Forwards-For', '2', 'Forwarded-By', '3'];
    expect(applied(raw, { style: 'off' })).toEqual(raw);
  });
});

describe('a trusted proxy', () => {
  const trusted = true;

  it('is added to, its protocol and host kept', () => {
    const raw = [
      'x-forwarded-for',
      '1.1.1.1',
      'X-Forwarded-Proto',
      'http',
      'X-Forwarded-Host',
      'first.example',
    ];
    expect(applied(raw, { trusted })).toEqual([
      'x-forwarded-for',
      '1.1.1.1, 192.0.2.7',
      'X-Forwarded-Proto',
      'http',
      'X-Forwarded-Host',
      'first.example',
    ]);
  });

  it('may have sent the chain in several fields', () => {
    const raw = ['X-Forwarded-For', '1.1.1.1', 'A', 'b', 'X-Forwarded-For', ' 2.2.2.2 ,,3.3.3.3'];
    expect(HeaderList.fromRaw(applied(raw, { trusted })).all('x-forwarded-for')).toEqual([
      '1.1.1.1, 2.2.2.2, 3.3.3.3, 192.0.2.7',
    ]);
  });

  it('that says nothing is told of like any client', () => {
    expect(applied([], { trusted, style: 'both' })).toEqual([...ours, ...oursRfc]);
    expect(applied(['X-Forwarded-Proto', '', 'Forwarded', ''], { trusted })).toContain('https');
  });

  it('keeps a chain of Forwarded whole, commas in quotes included', () => {
    const raw = ['Forwarded', 'for="[2001:db8::1]";by="a,b"', 'Forwarded', 'for=_hidden'];
    expect(applied(raw, { trusted, style: 'forwarded' })).toEqual([
      'Forwarded',
      `for="[2001:db8::1]";by="a,b", for=_hidden, ${oursRfc[1]}`,
    ]);
  });

  it('keeps what it said in a style that we do not write', () => {
    const raw = ['X-Forwarded-For', '1.1.1.1', 'Forwarded', 'for=1.1.1.1', 'X-Real-IP', '1.1.1.1'];
    expect(applied(raw, { trusted, style: 'off' })).toEqual(raw);
    expect(HeaderList.fromRaw(applied(raw, { trusted })).get('forwarded')).toBe('for=1.1.1.1');
    expect(HeaderList.fromRaw(applied(raw, { trusted, style: 'forwarded' })).get('x-forwarded-for')).toBe(
      '1.1.1.1',
    );
  });

  it('does not vouch for spellings that only a client would choose', () => {
    const raw = ['X_Forwarded_For', '6.6.6.6', 'x_real_ip', '6.6.6.6', 'X-Forwarded-For', '1.1.1.1'];
    expect(applied(raw, { trusted, style: 'off' })).toEqual(['X-Forwarded-For', '1.1.1.1']);
  });

  it('loses nothing to a Connection header', () => {
    const headers = HeaderList.fromRaw([
      'Connection',
      'x-forwarded-for, close',
      'X-Forwarded-For',
      '1.1.1.1',
    ]);
    removeHopByHop(headers);
    applyForwarded(headers, { ...base, trusted });
    expect(headers.get('x-forwarded-for')).toBe('1.1.1.1, 192.0.2.7');
  });
});

describe('Forwarded (RFC 7239 §4, §6)', () => {
  it.each([
    ['192.0.2.7', 'a.example', 'for=192.0.2.7;proto=https;host=a.example'],
    ['192.0.2.7', 'a.example:8080', 'for=192.0.2.7;proto=https;host="a.example:8080"'],
    ['2001:db8::1', '[::1]', 'for="[2001:db8::1]";proto=https;host="[::1]"'],
    ['unix', 'a', 'for=unknown;proto=https;host=a'],
    ['192.0.2.7', 'a"b\\c', 'for=192.0.2.7;proto=https;host="a\\"b\\\\c"'],
    ['192.0.2.7', '', 'for=192.0.2.7;proto=https;host=""'],
  ])('of %j asking for %j', (clientAddress, host, value) => {
    expect(applied([], { clientAddress, host, style: 'forwarded' })).toEqual(['Forwarded', value]);
  });
});

it('isForwardingClaim takes lower-case names', () => {
  expect(['x-forwarded-for', 'x_forwarded_for', 'forwarded', 'x-real-ip'].every(isForwardingClaim)).toBe(
    true,
  );
  expect(['host', 'x-forward-for', 'forwarder', ''].some(isForwardingClaim)).toBe(false);
});

describe('certificates of clients', () => {
  const raw = ['Client-Cert', ':AA:', 'client_cert-chain', ':AA:', 'X_Subject', 'CN=root', 'Accept', '*/*'];
  const reserved = new Set(['x-subject']);

  it('are told by us alone; a trusted proxy may tell under names that are not ours', () => {
    expect(applied(raw, { style: 'off', reserved })).toEqual(['Accept', '*/*']);
    expect(applied(raw, { style: 'off', trusted: true, reserved })).toEqual([
      'Client-Cert',
      ':AA:',
      'Accept',
      '*/*',
    ]);
    const certificate = [['X-Subject', 'CN=Ada']] as const;
    expect(applied(raw, { style: 'off', reserved, certificate })).toEqual([
      'Accept',
      '*/*',
      'X-Subject',
      'CN=Ada',
    ]);
  });
});
