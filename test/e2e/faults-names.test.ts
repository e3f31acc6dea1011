/** DNS that fails while clients come and stay, on both engines. */
import { describe, expect, test } from 'vitest';
import { DnsServer } from '../fixtures/dns-server.js';
import { engines, type FaultHouse, openRaw, refusalOf, startFaultHouse } from '../fixtures/faults.js';
import { eventually } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';
import { frames } from '../fixtures/rfc6455.js';

const NAME = 'chat.test';

describe.each(engines)('relay: %s', (relay) => {
  /** A server behind a name that is looked up each second, and a tunnel to it. */
  async function open() {
    const dns = await DnsServer.listen();
    dns.records.set(NAME, { A: ['127.0.0.1'], ttl: 1 });
    const backend = await RawServer.listen();
    const url = `http://${NAME}:${backend.port}`;
    const house = await startFaultHouse({ servers: url, resolve: resolving(dns) }, { relay });
    await serversAre(house, [`${url}#127.0.0.1 up`]);
    const { client, server } = await openRaw(house, backend);
    return { dns, backend, url, house, client, server };
  }

  test.each([
    ['does not exist any more (NXDOMAIN)', (dns: DnsServer) => void dns.records.delete(NAME), 'ENOTFOUND'],
    ['has no address any more', (dns: DnsServer) => void dns.records.set(NAME, {}), 'ENODATA'],
    ['cannot be told (SERVFAIL)', (dns: DnsServer) => void dns.failing.add(NAME), 'ESERVFAIL'],
  ])('a name that %s: its last addresses serve on, and the log says why', async (_name, fail, code) => {
    const { dns, backend, url, house, client, server } = await open();
    fail(dns);
    for (let failures = 1; failures <= 3; failures++) {
      const asked = dns.questions.length;
      // After 1 s, then 1 s, then 2 s: each time twice as late, at the earliest minTtl.
      house.clock.advance(failures < 3 ? 1000 : 2000);
      expect(await house.unresolved.next()).toContain(`${url}: `);
      expect(house.unresolved.all.at(-1)).toContain(code);
      expect(dns.questions.length).toBeGreaterThan(asked);
    }
    await serversAre(house, [`${url}#127.0.0.1 up`]);
    expect(house.changes.all).toEqual([]);
    client.writeHex(frames.maskedHello);
    expect((await server.take(11)).length).toBe(11);
    await openRaw(house, backend);
  });

  test('a name server that is killed, and started again', async () => {
    const { dns, backend, url, house } = await open();
    const port = Number(dns.address.split(':')[1]);
    await dns.stop();
    house.clock.advance(1000);
    expect(await house.unresolved.next()).toContain('ECONNREFUSED');
    await openRaw(house, backend);
    const again = await DnsServer.listen(port);
    again.records.set(NAME, { A: ['127.0.0.1', '127.0.0.2'], ttl: 1 });
    house.clock.advance(1000);
    await serversAre(house, [`${url}#127.0.0.1 up`, `${url}#127.0.0.2 up`]);
  });

  test('a name that moves: its tunnels stay where they are, the next client goes to the new address', async () => {
    const { dns, backend, url, house, client, server } = await open();
    dns.records.set(NAME, { A: ['127.0.0.3'], ttl: 1 });
    house.clock.advance(1000);
    await serversAre(house, [`${url}#127.0.0.1 leaving`, `${url}#127.0.0.3 up`]);
    // Nobody listens at the new address: the old one, which does, is not tried.
    expect(await refusalOf(await house.ask())).toBe('502 UPSTREAM_CONNECT_FAILED');
    expect(backend.accepted).toHaveLength(1);
    server.writeHex(frames.hello);
    expect((await client.take(7)).length).toBe(7);

    dns.records.set(NAME, { A: ['127.0.0.1'], ttl: 1 });
    house.clock.advance(1000);
    await serversAre(house, [`${url}#127.0.0.1 up`]);
    await openRaw(house, backend);
    expect((await house.status()).servers[0]).toMatchObject({ active: 2 });
  });

  test('a name that never was: each client is told so, and is served once it is there', async () => {
    const dns = await DnsServer.listen();
    const backend = await RawServer.listen();
    const url = `http://_ws._tcp.${NAME}`;
    const house = await startFaultHouse({ servers: url, resolve: resolving(dns) }, { relay });
    expect(await house.unresolved.next()).toContain('ENOTFOUND');
    expect(await refusalOf(await house.ask())).toBe('503 UPSTREAM_UNAVAILABLE');
    expect(await house.records.next()).toMatchObject({ outcome: 'failed(UPSTREAM_UNAVAILABLE)' });
    dns.records.set(`_ws._tcp.${NAME}`, {
      SRV: [{ priority: 1, weight: 1, port: backend.port, name: NAME }],
    });
    dns.records.set(NAME, { A: ['127.0.0.1'], ttl: 1 });
    house.clock.advance(1000);
    await serversAre(house, [`${url}#127.0.0.1:${backend.port} up`]);
    await openRaw(house, backend);
  });

  test('a name that only the dial looks up, and nobody knows: 502, or 504 where nobody says so', async () => {
    const house = await startFaultHouse(
      { servers: 'http://nonexistent.invalid', connectTimeout: '1s' },
      { relay, time: 'real' },
    );
    expect(['502 UPSTREAM_NAME_UNRESOLVED', '504 UPSTREAM_CONNECT_TIMEOUT']).toContain(
      await refusalOf(await house.ask()),
    );
    const record = await house.records.next();
    expect(record).toMatchObject({ server: 'http://nonexistent.invalid' });
    expect(record.detail).toContain('nonexistent.invalid');
  });
});

test('a name server that says nothing: the last addresses serve on, on both engines', async () => {
  const dns = await DnsServer.listen();
  dns.records.set(NAME, { A: ['127.0.0.1'], ttl: 1 });
  const backend = await RawServer.listen();
  const url = `http://${NAME}:${backend.port}`;
  // How long a name server may take is no setting, and takes real time: both wait at once.
  const houses: FaultHouse[] = [];
  for (const relay of engines) {
    houses.push(await startFaultHouse({ servers: url, resolve: resolving(dns) }, { relay }));
  }
  for (const house of houses) await serversAre(house, [`${url}#127.0.0.1 up`]);
  dns.silent = true;
  for (const house of houses) house.clock.advance(1000);
  for (const house of houses) expect(await house.unresolved.next()).toContain('ETIMEOUT');
  for (const house of houses) {
    await serversAre(house, [`${url}#127.0.0.1 up`]);
    await openRaw(house, backend);
  }
  for (const house of houses) await house.proxy.stop({ timeoutMs: 0 });
});

function resolving(dns: DnsServer): object {
  return { nameservers: [dns.address], minTtl: '1s', maxTtl: '1m' };
}

async function serversAre(house: FaultHouse, wanted: string[]): Promise<void> {
  let found: string[] = [];
  let isAsking = false;
  await eventually(
    () => {
      if (!isAsking) {
        isAsking = true;
        void house.status().then(({ servers }) => {
          found = servers.map(({ server, state }) => `${server} ${state}`).toSorted();
          isAsking = false;
        });
      }
      return JSON.stringify(found) === JSON.stringify(wanted);
    },
    () => `servers ${wanted.join(', ')} (there are ${found.join(', ')})`,
  );
}
