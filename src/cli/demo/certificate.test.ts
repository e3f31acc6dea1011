import { createPrivateKey, X509Certificate } from 'node:crypto';
import { connect, createServer } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { selfSigned } from './certificate.js';

test('a certificate for names and addresses, signed by its own key', () => {
  const { cert, key } = selfSigned(['localhost', '127.0.0.1', '::1'], Date.UTC(2030, 5, 15, 12));
  const certificate = new X509Certificate(cert);
  expect(certificate.checkHost('localhost')).toBe('localhost');
  expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1');
  expect(certificate.checkIP('::1')).toBe('::1');
  expect(certificate.checkHost('example.com')).toBeUndefined();
  expect(certificate.verify(certificate.publicKey)).toBe(true);
  expect(certificate.checkPrivateKey(createPrivateKey(key))).toBe(true);
  expect(certificate.subject).toBe('CN=Tidegate demo');
  expect(certificate.issuer).toBe('CN=Tidegate demo');
  expect(certificate.ca).toBe(false);
  expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
  expect([certificate.validFrom, certificate.validTo]).toEqual([
    'Jun 14 12:00:00 2030 GMT',
    'Jul 15 12:00:00 2030 GMT',
  ]);
});

test('no two have the same key or number', () => {
  const [one, other] = [1, 2].map(() => new X509Certificate(selfSigned(['localhost']).cert));
  expect(one?.serialNumber).not.toBe(other?.serialNumber);
  expect(one?.fingerprint256).not.toBe(other?.fingerprint256);
});

test('who knows it believes it', async () => {
  const identity = selfSigned(['127.0.0.1']);
  const server = createServer(identity, (socket) => socket.end('hello'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const socket = connect({ host: '127.0.0.1', port, ca: identity.cert });
  let heard = '';
  for await (const chunk of socket.setEncoding('utf8') as AsyncIterable<string>) heard += chunk;
  expect([heard, socket.authorized]).toEqual(['hello', true]);
  await new Promise((resolve) => server.close(resolve));
});
