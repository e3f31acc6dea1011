import { describe, expect, it } from 'vitest';
import { clientCertValue, distinguishedName } from './client-cert.js';

describe('the certificate of a client, as upstreams are told of it', () => {
  it('is a byte sequence of a structured field', () => {
    expect(clientCertValue(Buffer.from([0x30, 0x82, 0xff]))).toBe(':MIL/:');
  });

  it.each([
    ['O=Example\nCN=Ada', 'CN=Ada,O=Example'],
    ['DC=com\nDC=example\nOU=Sales + CN=J. Smith', 'OU=Sales+CN=J. Smith,DC=example,DC=com'],
    ['O=Example\\, \\"Ltd\\"\nCN=Zoë \\+ Ada', 'CN=Zo\\C3\\AB \\+ Ada,O=Example\\, \\"Ltd\\"'],
    ['CN=a\r\u0000b', 'CN=a\\0D\\00b'],
    ['', ''],
  ])('has the subject %j as %j', (lines, line) => {
    expect(distinguishedName(lines)).toBe(line);
  });
});
