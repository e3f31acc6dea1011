import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { connect } from 'node:tls';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readClientHello } from './client-hello.js';

/** What Node's OpenSSL says first. */
async function hello(options: object): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = connect({ host: '127.0.0.1', port, ...options }).on('error', () => {});
  const [socket] = (await once(server, 'connection')) as [Socket];
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return bytes;
}

describe('readClientHello', () => {
  it.each(['TLSv1.2', 'TLSv1.3'])('of %s', async (version) => {
    const versions = { minVersion: version, maxVersion: version };
    const both = await hello({
      ...versions,
      servername: 'Chat.Example.test',
      ALPNProtocols: ['h2', 'http/1.1'],
    });
    expect(readClientHello(both)).toEqual({ serverName: 'chat.example.test', protocols: ['h2', 'http/1.1'] });
    const acme = await hello({ ...versions, servername: 'a.test', ALPNProtocols: ['acme-tls/1'] });
    expect(readClientHello(acme)).toEqual({ serverName: 'a.test', protocols: ['acme-tls/1'] });
    expect(readClientHello(await hello(versions))).toEqual({ serverName: undefined, protocols: [] });
  });

  it('wants all of it, in however many packets and records it comes', async () => {
    const bytes = await hello({ servername: 'a.test', ALPNProtocols: ['acme-tls/1'] });
    const said = { serverName: 'a.test', protocols: ['acme-tls/1'] };
    for (let end = 0; end < bytes.length; end++)
      expect(readClientHello(bytes.subarray(0, end))).toBeUndefined();
    expect(readClientHello(Buffer.concat([bytes, Buffer.from('more')]))).toEqual(said);
    for (const size of [1, 3, 100]) {
      const records = inRecords(bytes.subarray(5), size);
      expect(readClientHello(records)).toEqual(said);
      expect(readClientHello(records.subarray(0, -1))).toBeUndefined();
    }
  });

  it.each<[string, Buffer]>([
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['an alert', Buffer.from('15030300020228', 'hex')],
    ['an empty record', Buffer.from('1603010000', 'hex')],
    ['a record that is too long', Buffer.from('160301ffff01', 'hex')],
    ['a ServerHello', Buffer.from('16030300040200000000', 'hex')],
    ['a hello that is too long', Buffer.from('160301000401ffffff', 'hex')],
    ['a hello that is too short', Buffer.from('160301000401000000', 'hex')],
  ])('%s says nothing', (_, bytes) => {
    expect(readClientHello(bytes)).toEqual({ serverName: undefined, protocols: [] });
  });

  it('never throws, and never waits for more than a hello can have', async () => {
    const bytes = await hello({ servername: 'a.test', ALPNProtocols: ['acme-tls/1'] });
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255))), (changes) => {
        const changed = Buffer.from(bytes);
        for (const [at, value] of changes) changed[at] = value;
        const rest = Buffer.alloc(140_000);
        expect(() => readClientHello(changed)).not.toThrow();
        expect(readClientHello(Buffer.concat([changed, rest]))).toBeDefined();
      }),
    );
  });
});

function inRecords(message: Buffer, size: number): Buffer {
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const piece = message.subarray(at, at + size);
    records.push(Buffer.from([22, 3, 1, 0, piece.length]), piece);
  }
  return Buffer.concat(records);
}
