import { describe, expect, it } from 'vitest';
import { DnsServer } from '../../../test/fixtures/dns-server.js';
import { SystemNames } from './names.js';

const v6 = 'fd00:0:0:0:0:0:0:7';

describe('names, asked of a real name server', () => {
  it('lead to addresses with the smallest TTL', async () => {
    const { dns, names } = await setUp();
    dns.records.set('chat.test', { A: ['10.0.0.1', '10.0.0.2'], AAAA: [v6], ttl: 17 });
    expect(await names.addresses('chat.test', 'ipv4')).toEqual({
      addresses: ['10.0.0.1', '10.0.0.2'],
      ttlMs: 17_000,
    });
    expect(await names.addresses('chat.test', 'ipv6')).toEqual({ addresses: ['fd00::7'], ttlMs: 17_000 });
    expect((await names.addresses('chat.test', 'both')).addresses).toEqual([
      '10.0.0.1',
      '10.0.0.2',
      'fd00::7',
    ]);
    dns.questions.length = 0;
    expect((await names.addresses('chat.test', 'auto')).addresses).toEqual(['10.0.0.1', '10.0.0.2']);
    expect(dns.questions).toEqual(['A chat.test']);
  });

  it('lead to what there is: IPv6 alone, one family of both', async () => {
    const { dns, names } = await setUp();
    dns.records.set('six.test', { AAAA: [v6] });
    dns.records.set('four.test', { A: ['10.0.0.1'] });
    expect((await names.addresses('six.test', 'auto')).addresses).toEqual(['fd00::7']);
    expect((await names.addresses('six.test', 'both')).addresses).toEqual(['fd00::7']);
    expect((await names.addresses('four.test', 'both')).addresses).toEqual(['10.0.0.1']);
  });

  it('lead to services', async () => {
    const { dns, names } = await setUp();
    const service = { priority: 1, weight: 2, port: 3001, name: 'one.test' };
    dns.records.set('_ws._tcp.test', { SRV: [service] });
    dns.records.set('_no._tcp.test', { SRV: [{ ...service, name: '.' }] });
    expect(await names.services('_ws._tcp.test')).toMatchObject([service]);
    await expect(names.services('_no._tcp.test')).rejects.toThrow(
      /no SRV records that lead anywhere|ENODATA/,
    );
    await expect(names.services('_gone._tcp.test')).rejects.toMatchObject({ code: 'ENOTFOUND' });
  });

  it('fail with what DNS said when the hosts file knows nothing either', async () => {
    const { dns, names } = await setUp();
    dns.failing.add('broken.invalid');
    await expect(names.addresses('broken.invalid', 'auto')).rejects.toMatchObject({ code: 'ESERVFAIL' });
    await expect(names.addresses('gone.invalid', 'both')).rejects.toMatchObject({ code: 'ENOTFOUND' });
  });

  it('leave localhost to the hosts file', async () => {
    const { dns, names } = await setUp();
    const { addresses, ttlMs } = await names.addresses('localhost', 'ipv4');
    expect(addresses).toContain('127.0.0.1');
    expect(ttlMs).toBeUndefined();
    expect(dns.questions).toEqual([]);
  });
});

async function setUp(): Promise<{ dns: DnsServer; names: SystemNames }> {
  const dns = await DnsServer.listen();
  return { dns, names: new SystemNames([dns.address]) };
}
