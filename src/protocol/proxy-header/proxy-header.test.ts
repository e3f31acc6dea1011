import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addressText } from './addresses.js';
import { crc32c } from './crc32c.js';
import { ProxyHeaderReader } from './read.js';
import { ProxyHeaderError, type ProxyHeader, proxyVersions } from './types.js';
import { writeProxyHeader } from './write.js';

const REQUEST = 'GET / HTTP/1.1\r\nHost: 192.168.0.11\r\n\r\n';
const SIGNATURE = '0d0a0d0a000d0a515549540a';

describe('version 1', () => {
  test.each<[string, string, ProxyHeader]>([
    [
      'the example of the specification',
      'PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n',
      tcp('192.168.0.1', 56_324, '192.168.0.11', 443),
    ],
    [
      'the longest TCP4',
      'PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n',
      tcp('255.255.255.255', 65_535, '255.255.255.255', 65_535),
    ],
    [
      'the longest TCP6',
      `PROXY TCP6 ${'ffff:'.repeat(7)}ffff ${'FFFF:'.repeat(7)}FFFF 65535 65535\r\n`,
      tcp(`${'ffff:'.repeat(7)}ffff`, 65_535, `${'ffff:'.repeat(7)}ffff`, 65_535),
    ],
    [
      'short and long forms',
      'PROXY TCP6 2001:DB8::7 2001:db8:0:0:0:0:0:1 1 0\r\n',
      tcp('2001:db8::7', 1, '2001:db8::1', 0),
    ],
    ['IPv4-mapped', 'PROXY TCP6 ::ffff:192.0.2.7 ::1 5 6\r\n', tcp('192.0.2.7', 5, '::1', 6)],
    ['UNKNOWN', 'PROXY UNKNOWN\r\n', { kind: 'unknown' }],
    [
      'the longest of all',
      `PROXY UNKNOWN ${'ffff:'.repeat(7)}ffff ${'ffff:'.repeat(7)}ffff 65535 65535\r\n`,
      { kind: 'unknown' },
    ],
    ['UNKNOWN and anything', 'PROXY UNKNOWN \n \r what \x00 ever\r\n', { kind: 'unknown' }],
  ])('%s', (_, line, header) => {
    expectRead(line, header);
  });

  test.each<[string, string, RegExp]>([
    ['no header at all', REQUEST, /is missing/],
    ['lower case', 'proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n', /is missing/],
    ['another separator', 'PROXY\tTCP4 1.2.3.4 5.6.7.8 1 2\r\n', /is missing/],
    ['another protocol', 'PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n', /TCP4, TCP6 and UNKNOWN/],
    ['nothing but the word', 'PROXY \r\n', /TCP4, TCP6 and UNKNOWN/],
    ['a word that begins as UNKNOWN', 'PROXY UNKNOWNS\r\n', /TCP4, TCP6 and UNKNOWN/],
    ['two spaces', 'PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n', /two addresses and two ports/],
    ['a space behind it', 'PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n', /two addresses and two ports/],
    ['a port missing', 'PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n', /two addresses and two ports/],
    ['an IPv6 address as TCP4', 'PROXY TCP4 ::1 5.6.7.8 1 2\r\n', /source that is no TCP4/],
    ['an IPv4 address as TCP6', 'PROXY TCP6 ::1 5.6.7.8 1 2\r\n', /destination that is no TCP6/],
    ['an octal number', 'PROXY TCP4 010.2.3.4 5.6.7.8 1 2\r\n', /source that is no TCP4/],
    ['three numbers', 'PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n', /source that is no TCP4/],
    ['256', 'PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n', /source that is no TCP4/],
    ['two gaps', 'PROXY TCP6 1::2::3 ::1 1 2\r\n', /source that is no TCP6/],
    ['nine groups', 'PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2\r\n', /source that is no TCP6/],
    ['a zone', 'PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n', /source that is no TCP6/],
    ['a hexadecimal number', 'PROXY TCP6 ::ffff:0x7f.0.0.1 ::1 1 2\r\n', /source that is no TCP6/],
    ['brackets', 'PROXY TCP6 [::1] ::1 1 2\r\n', /source that is no TCP6/],
    ['port 65536', 'PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n', /source port/],
    ['a port with a zero', 'PROXY TCP4 1.2.3.4 5.6.7.8 1 02\r\n', /destination port/],
    ['a negative port', 'PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n', /source port/],
    ['an empty port', 'PROXY TCP4 1.2.3.4 5.6.7.8  2\r\n', /source port/],
    ['LF alone', 'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n', /LF alone/],
    ['CR alone', `PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r${'x'.repeat(80)}\r\n`, /no CRLF within 107/],
    ['108 bytes', `PROXY UNKNOWN ${'x'.repeat(92)}\r\n`, /no CRLF within 107/],
    ['a line without end', `PROXY UNKNOWN ${'x'.repeat(1000)}`, /no CRLF within 107/],
  ])('refuses %s', (_, line, message) => {
    expectRefused(Buffer.from(line, 'latin1'), message);
  });

  test('is refused as soon as it cannot be one any more', () => {
    const reader = new ProxyHeaderReader({ maxBytes: 4096 });
    expect(reader.push(Buffer.from('PRO'))).toBeUndefined();
    expect(() => reader.push(Buffer.from('P'))).toThrow(ProxyHeaderError);
    expect(() => new ProxyHeaderReader({ maxBytes: 4096 }).push(Buffer.from('G'))).toThrow('is missing');
  });
});

describe('version 2', () => {
  const IPV4 = `${SIGNATURE} 21 11 000c c0a80001 c0a8000b dc04 01bb`;
  const client = tcp('192.168.0.1', 56_324, '192.168.0.11', 443);

  test.each<[string, string, ProxyHeader]>([
    ['TCP over IPv4', IPV4, client],
    [
      'TCP over IPv6',
      `${SIGNATURE} 21 21 0024 20010db8000000000000000000000007 20010db8000000000000000000000001 0001 ffff`,
      tcp('2001:db8::7', 1, '2001:db8::1', 65_535),
    ],
    [
      'IPv4-mapped',
      `${SIGNATURE} 21 21 0024 00000000000000000000ffffc0000207 00000000000000000000000000000001 0005 0006`,
      tcp('192.0.2.7', 5, '::1', 6),
    ],
    [
      'a unix socket',
      `${SIGNATURE} 21 31 00d8 ${'2f61'.padEnd(216, '0')} ${'00'.repeat(108)}`,
      { kind: 'unix' },
    ],
    ['LOCAL', `${SIGNATURE} 20 00 0000`, { kind: 'local' }],
    ['LOCAL with a block to skip', `${SIGNATURE} 20 11 000c c0a80001 c0a8000b dc04 01bb`, { kind: 'local' }],
    ['LOCAL of a family that does not exist', `${SIGNATURE} 20 f7 0002 abcd`, { kind: 'local' }],
    ['AF_UNSPEC', `${SIGNATURE} 21 00 0000`, { kind: 'unknown' }],
    ['AF_UNSPEC with a block to skip', `${SIGNATURE} 21 00 0003 ffffff`, { kind: 'unknown' }],
    ['UDP over IPv4', `${SIGNATURE} 21 12 000c c0a80001 c0a8000b dc04 01bb`, { kind: 'unknown' }],
    ['IPv6 without a protocol', `${SIGNATURE} 21 20 0024 ${'00'.repeat(36)}`, { kind: 'unknown' }],
    ['TLVs to skip', `${SIGNATURE} 21 11 0016 c0a80001 c0a8000b dc04 01bb 040000 ea0004 01020304`, client],
    [
      'TLS',
      `${SIGNATURE} 21 11 0021 c0a80001 c0a8000b dc04 01bb 20 0012 01 00000001 21 0007 544c5376312e33 230000`,
      { ...client, tls: { version: 'TLSv1.3', certificate: undefined } },
    ],
    [
      'TLS with a certificate, and a name',
      `${SIGNATURE} 21 11 001f c0a80001 c0a8000b dc04 01bb 20 000a 03 00000000 22 0002 6d65 02 0003 612e62`,
      {
        ...client,
        tls: { version: undefined, certificate: { isVerified: true, commonName: 'me' } },
        authority: 'a.b',
      },
    ],
    [
      'TLS with a certificate that is not valid',
      `${SIGNATURE} 21 11 0014 c0a80001 c0a8000b dc04 01bb 20 0005 05 0000000a`,
      { ...client, tls: { version: undefined, certificate: { isVerified: false, commonName: undefined } } },
    ],
    [
      'no TLS, said explicitly',
      `${SIGNATURE} 21 11 0014 c0a80001 c0a8000b dc04 01bb 20 0005 00 00000000`,
      client,
    ],
  ])('%s', (_, hex, header) => {
    expectRead(bytes(hex), header);
  });

  test('a checksum', () => {
    // The check value that every description of CRC32c gives.
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe306_9283);
    const header = bytes(`${SIGNATURE} 21 11 0013 c0a80001 c0a8000b dc04 01bb 03 0004 00000000`);
    header.writeUInt32BE(crc32c(header), 31);
    expectRead(header, client);
    for (let at = 16; at < header.length; at++) {
      const changed = Buffer.from(header);
      changed[at]! ^= 1;
      // The type and the length of the TLV itself aside, which make another header of it.
      if (at < 28 || at > 30) expectRefused(changed, /checksum/);
    }
  });

  test.each<[string, string, RegExp]>([
    ['another signature', '0d0a0d0a000d0a515549540b 21 11 000c', /is missing/],
    ['version 1', `${SIGNATURE} 11 11 000c`, /version 1, not 2/],
    ['version 3', `${SIGNATURE} 31`, /version 3, not 2/],
    ['command 2', `${SIGNATURE} 22`, /command 2/],
    ['family 4', `${SIGNATURE} 21 41 0000`, /0x41, which do not exist/],
    ['protocol 3', `${SIGNATURE} 21 13 000c ${'00'.repeat(12)}`, /0x13, which do not exist/],
    [
      '11 bytes for IPv4',
      `${SIGNATURE} 21 11 000b ${'00'.repeat(11)}`,
      /11 bytes for addresses that take 12/,
    ],
    [
      '35 bytes for IPv6',
      `${SIGNATURE} 21 21 0023 ${'00'.repeat(35)}`,
      /35 bytes for addresses that take 36/,
    ],
    ['215 bytes for a path', `${SIGNATURE} 21 31 00d7 ${'00'.repeat(215)}`, /215 bytes .* take 216/],
    ['half a TLV', `${SIGNATURE} 21 11 000e ${'00'.repeat(12)} 0400`, /beyond its end/],
    ['a TLV that is too long', `${SIGNATURE} 21 11 0010 ${'00'.repeat(12)} 04000200`, /beyond its end/],
    ['a short checksum', `${SIGNATURE} 21 11 0011 ${'00'.repeat(12)} 0300020000`, /checksum of 2 bytes/],
    [
      'a short TLV for TLS',
      `${SIGNATURE} 21 11 0013 ${'00'.repeat(12)} 20000400000000`,
      /4 bytes instead of 5/,
    ],
    [
      'a TLV in that for TLS that is too long',
      `${SIGNATURE} 21 11 0017 ${'00'.repeat(12)} 20000801 00000000 210001`,
      /beyond its end/,
    ],
    ['two names', `${SIGNATURE} 21 11 0012 ${'00'.repeat(12)} 020000 020000`, /0x02 twice/],
    ['4097 bytes', `${SIGNATURE} 21 11 0ff1`, /4097 bytes long, .* 4096/],
    ['64 KiB', `${SIGNATURE} 20 00 ffff`, /65551 bytes long/],
  ])('refuses %s', (_, hex, message) => {
    expectRefused(bytes(hex), message);
  });

  test('takes as much as it is told to', () => {
    const header = Buffer.concat([bytes(`${SIGNATURE} 20 00 ffff`), Buffer.alloc(0xffff)]);
    expectRead(header, { kind: 'local' }, 0x1_0000 + 15);
  });
});

describe('what is written', () => {
  test('as the specification has it', () => {
    const header = tcp('192.168.0.1', 56_324, '192.168.0.11', 443);
    expect(writeProxyHeader('v1', header).toString()).toBe(
      'PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n',
    );
    expect(writeProxyHeader('v2', header)).toEqual(
      bytes(`${SIGNATURE} 21 11 000c c0a80001 c0a8000b dc04 01bb`),
    );
    expect(writeProxyHeader('v1', { kind: 'local' }).toString()).toBe('PROXY UNKNOWN\r\n');
    expect(writeProxyHeader('v2', { kind: 'local' })).toEqual(bytes(`${SIGNATURE} 20 00 0000`));
    const tls = { version: 'TLSv1.3', certificate: undefined };
    expect(writeProxyHeader('v2', { ...header, tls })).toEqual(
      bytes(`${SIGNATURE} 21 11 001e c0a80001 c0a8000b dc04 01bb 20 000f 01 00000001 21 0007 544c5376312e33`),
    );
  });

  test('two families become IPv6', () => {
    const header = tcp('192.0.2.7', 1, '2001:db8::1', 2);
    expect(writeProxyHeader('v1', header).toString()).toBe('PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 1 2\r\n');
    for (const version of proxyVersions) expectRead(writeProxyHeader(version, header), header);
  });

  test('is read again', () => {
    fc.assert(
      fc.property(
        anyHeader(),
        fc.constantFrom(...proxyVersions),
        fc.array(fc.nat(40)),
        (header, version, cuts) => {
          const written = Buffer.concat([writeProxyHeader(version, header), Buffer.from(REQUEST)]);
          expect(readInPieces(written, cuts)).toEqual({
            header: version === 'v2' ? header : asVersion1(header),
            rest: REQUEST,
          });
        },
      ),
    );
  });
});

describe('hostile bytes', () => {
  test('are read or refused, never more than one header held', () => {
    const start = fc.constantFrom(
      '',
      '5052',
      '50524f585920',
      SIGNATURE,
      `${SIGNATURE} 21 11`,
      `${SIGNATURE} 21 31`,
    );
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 400 }), fc.array(fc.nat(40)), (hex, noise, cuts) => {
        const hostile = Buffer.concat([bytes(hex), noise]);
        let left = 600;
        try {
          const found = readInPieces(hostile, cuts, 600);
          if (found !== undefined) left = 600 - (hostile.length - found.rest.length);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(ProxyHeaderError);
        }
        expect(left).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 2000 },
    );
  });

  test('a true header with one byte changed', () => {
    const tls = { version: 'TLSv1.3', certificate: { isVerified: true, commonName: 'me' } };
    const header = writeProxyHeader('v2', { ...tcp('192.0.2.7', 1, '192.0.2.1', 2), tls, authority: 'a' });
    for (let at = 0; at < header.length; at++) {
      for (const change of [1, 0x80, 0xff]) {
        const changed = Buffer.from(header);
        changed[at]! ^= change;
        try {
          new ProxyHeaderReader({ maxBytes: 4096 }).push(changed);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(ProxyHeaderError);
        }
      }
    }
  });
});

function tcp(source: string, sourcePort: number, destination: string, destinationPort: number) {
  return {
    kind: 'tcp',
    source: { address: source, port: sourcePort },
    destination: { address: destination, port: destinationPort },
  } as const;
}

function bytes(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex');
}

/** Whole, cut at every place, and byte by byte: always the header, and what stands behind it. */
function expectRead(written: string | Buffer, header: ProxyHeader, maxBytes = 4096): void {
  const line = typeof written === 'string' ? Buffer.from(written, 'latin1') : written;
  const whole = Buffer.concat([line, Buffer.from(REQUEST)]);
  const expected = { header, rest: REQUEST };
  expect(readInPieces(whole, [], maxBytes)).toEqual(expected);
  if (line.length > 1000) return;
  for (let cut = 1; cut <= line.length; cut++) {
    expect(readInPieces(whole, [cut], maxBytes)).toEqual(expected);
    const half = new ProxyHeaderReader({ maxBytes });
    if (cut < line.length) expect(half.push(line.subarray(0, cut))).toBeUndefined();
  }
  expect(readInPieces(whole, Array(whole.length).fill(1) as number[], maxBytes)).toEqual(expected);
}

/** Whole and byte by byte. */
function expectRefused(hostile: Buffer, message: RegExp): void {
  for (const cuts of [[], Array(hostile.length).fill(1) as number[]]) {
    expect(() => readInPieces(hostile, cuts)).toThrow(message);
    expect(() => readInPieces(hostile, cuts)).toThrow(ProxyHeaderError);
  }
}

function readInPieces(whole: Buffer, cuts: readonly number[], maxBytes = 4096) {
  const reader = new ProxyHeaderReader({ maxBytes });
  let at = 0;
  for (const cut of [...cuts, Infinity]) {
    const piece = whole.subarray(at, at + cut);
    at += piece.length;
    const found = reader.push(piece);
    if (found === undefined) continue;
    const rest = Buffer.concat([found.rest, whole.subarray(at)]);
    return { header: found.header, rest: rest.toString('latin1') };
  }
  return undefined;
}

function anyHeader(): fc.Arbitrary<ProxyHeader> {
  const address = fc
    .oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
    .map(addressText);
  const endpoint = fc.record({ address, port: fc.nat(65_535) });
  const text = fc.string({ maxLength: 80 });
  const certificate = fc.record({
    isVerified: fc.boolean(),
    commonName: fc.option(text, { nil: undefined }),
  });
  const tls = fc.record({
    version: fc.option(text, { nil: undefined }),
    certificate: fc.option(certificate, { nil: undefined }),
  });
  const extras = { tls, authority: text };
  const client = { kind: fc.constant('tcp' as const), source: endpoint, destination: endpoint };
  const unix = { kind: fc.constant('unix' as const) };
  return fc.oneof(
    fc.constantFrom<ProxyHeader>({ kind: 'local' }, { kind: 'unknown' }),
    fc.record({ ...unix, ...extras }, { requiredKeys: ['kind'] }),
    fc.record({ ...client, ...extras }, { requiredKeys: ['kind', 'source', 'destination'] }),
  );
}

function asVersion1(header: ProxyHeader): ProxyHeader {
  if (header.kind !== 'tcp') return { kind: 'unknown' };
  const { kind, source, destination } = header;
  return { kind, source, destination };
}
