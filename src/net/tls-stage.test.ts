import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { authority, certificate, tlsPlan } from '../../test/fixtures/certificates.js';
import { Inbox } from '../../test/fixtures/inbox.js';
import { factsOf } from './client-facts.js';
import type { TlsPlan } from './tls-plan.js';
import { type Takers, TlsStage } from './tls-stage.js';

describe('TlsStage', () => {
  it('hands decrypted connections on, with what is known of the client', async () => {
    const { dial, taken } = await stage(tlsPlan(['chat']));
    const client = await dial({ servername: 'chat.example.test' });
    client.write('hello');
    const { socket, protocol } = await taken.next();
    expect(protocol).toBe('http/1.1');
    expect(factsOf(socket)).toEqual({ address: '127.0.0.1', secure: true, via: 'h1' });
    expect(String((await once(socket, 'data'))[0])).toBe('hello');
    // One side may end first, as everywhere.
    client.end();
    await once(socket.resume(), 'end');
    socket.end('goodbye');
    expect(String((await once(client, 'data'))[0])).toBe('goodbye');
  });

  it('chooses the certificate by the name that is asked for, else the first', async () => {
    const { dial } = await stage(tlsPlan(['wildcard', 'chat', 'nameless']));
    const shown = async (servername: string): Promise<string> => {
      const client = await dial({ servername, checkServerIdentity: () => undefined });
      return client.getPeerX509Certificate()!.subject;
    };
    expect(await shown('chat.example.test')).toBe('CN=chat');
    expect(await shown('CHAT.Example.test')).toBe('CN=chat');
    expect(await shown('live.example.test')).toBe('CN=wildcard');
    expect(await shown('example.test')).toBe('CN=wildcard');
    // No common name counts.
    expect(await shown('nameless.example.test')).toBe('CN=wildcard');
    expect(await shown('other.test')).toBe('CN=wildcard');
    expect(await shown('')).toBe('CN=wildcard');
  });

  it('offers exactly the protocols that somebody takes', async () => {
    const { dial, taken } = await stage(tlsPlan(['chat']));
    const client = await dial({ ALPNProtocols: ['h2', 'http/1.1'] });
    expect(client.alpnProtocol).toBe('http/1.1');
    await expect(dial({ ALPNProtocols: ['h2'] })).rejects.toThrow(/no application protocol/);
    expect((await taken.next()).protocol).toBe('http/1.1');

    const both = await stage(tlsPlan(['chat']), { h2: true });
    expect((await both.dial({ ALPNProtocols: ['http/1.1', 'h2'] })).alpnProtocol).toBe('h2');
    expect((await both.taken.next()).protocol).toBe('h2');
    expect((await both.dial({ ALPNProtocols: ['http/1.1'] })).alpnProtocol).toBe('http/1.1');
    expect((await both.taken.next()).protocol).toBe('http/1.1');
    await both.dial({});
    expect((await both.taken.next()).protocol).toBe('http/1.1');
  });

  it('takes what has been read already, and facts noted before', async () => {
    const { dial, taken } = await stage(tlsPlan(['chat']), {
      before: async (socket) => {
        const [bytes] = (await once(socket, 'data')) as [Buffer];
        socket.pause();
        socket.unshift(bytes);
      },
    });
    const client = await dial({});
    client.write('hello');
    const { socket } = await taken.next();
    expect(String((await once(socket, 'data'))[0])).toBe('hello');
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'resumes sessions of %s, also after another plan',
    async (version) => {
      const it = await stage(tlsPlan(['chat', 'wildcard']));
      const options = {
        servername: 'live.example.test',
        minVersion: version,
        maxVersion: version,
      } as const;
      const session = await sessionOf(it, options);
      expect((await it.dial({ ...options, session })).isSessionReused()).toBe(true);
      it.plan = tlsPlan(['chat-renewed', 'wildcard']);
      expect((await it.dial({ ...options, session })).isSessionReused()).toBe(true);
      // Whoever asks for certificates must see them.
      it.plan = tlsPlan(['chat-renewed', 'wildcard'], clientCertificates('optional'));
      expect((await it.dial({ ...options, session })).isSessionReused()).toBe(false);
    },
  );

  it('makes its ticket keys anew every day', async () => {
    const it = await stage(tlsPlan(['chat']));
    const session = await sessionOf(it, {});
    expect((await it.dial({ session })).isSessionReused()).toBe(true);
    const tomorrow = Date.now() + 25 * 60 * 60 * 1000;
    const clock = vi.spyOn(Date, 'now').mockReturnValue(tomorrow);
    onTestFinished(() => clock.mockRestore());
    expect((await it.dial({ session })).isSessionReused()).toBe(false);
  });

  it('takes no TLS before 1.2, and none before 1.3 if told so', async () => {
    const it = await stage(tlsPlan(['chat']));
    for (const version of ['TLSv1', 'TLSv1.1'] as const) {
      const old = { minVersion: version, maxVersion: version, ciphers: 'ALL:@SECLEVEL=0' };
      await expect(it.dial(old)).rejects.toThrow();
      expect(await it.failures.next()).toMatchObject({ reason: 'unsupported protocol' });
    }
    it.plan = tlsPlan(['chat'], { minVersion: 'TLSv1.3' });
    await expect(it.dial({ maxVersion: 'TLSv1.2' })).rejects.toThrow();
    expect((await it.dial({})).getProtocol()).toBe('TLSv1.3');
  });

  it('speaks the ciphers of its plan, and TLS 1.3 with any of them', async () => {
    const { dial } = await stage(tlsPlan(['chat'], { ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305' }));
    expect((await dial({ maxVersion: 'TLSv1.2' })).getCipher().name).toBe('ECDHE-ECDSA-CHACHA20-POLY1305');
    expect((await dial({})).getProtocol()).toBe('TLSv1.3');
  });

  it('cuts what has not finished its handshake in time, and says so once', async () => {
    const { port, failures, sockets } = await stage(tlsPlan(['chat']), { timeoutMs: 50 });
    const silent = connect(port, '127.0.0.1');
    await once(silent, 'close');
    expect(await failures.next()).toEqual({ reason: 'it took too long', address: '127.0.0.1' });
    expect(failures.all).toHaveLength(1);
    expect(sockets.every((socket) => socket.destroyed)).toBe(true);
  });

  it('says why a handshake came to nothing', async () => {
    const { port, failures } = await stage(tlsPlan(['chat']));
    const plain = connect(port, '127.0.0.1');
    plain.on('error', () => {});
    plain.end('GET / HTTP/1.1\r\n\r\n');
    expect(await failures.next()).toEqual({ reason: 'http request', address: '127.0.0.1' });
    const gone = connect(port, '127.0.0.1');
    gone.on('error', () => {});
    gone.end(Buffer.from('160301', 'hex'));
    expect(await failures.next()).toEqual({ reason: 'the client went away', address: '127.0.0.1' });
    gone.destroy();
  });

  it('cuts handshakes when it is closed, but not what has come through', async () => {
    const it = await stage(tlsPlan(['chat']));
    const client = await it.dial({});
    const { socket } = await it.taken.next();
    const half = connect(it.port, '127.0.0.1');
    half.write(Buffer.from('160301', 'hex'));
    await it.entered.next();
    await it.entered.next();
    it.stage.close();
    half.on('error', () => {});
    await once(half.resume(), 'close');
    client.write('still here');
    expect(String((await once(socket, 'data'))[0])).toBe('still here');
    expect(it.failures.all).toEqual([]);
  });

  describe('client certificates', () => {
    const mine = certificate('client');
    const known = { cert: mine, key: mine };
    const strange = { cert: certificate('stranger'), key: certificate('stranger') };

    it('are checked and noted, those of resumed sessions too', async () => {
      const it = await stage(tlsPlan(['chat'], clientCertificates('required')));
      const session = await sessionOf(it, known);
      await it.taken.next();
      for (const options of [known, { ...known, session }]) {
        const client = await it.dial(options);
        expect(client.isSessionReused()).toBe('session' in options);
        const { clientCertificate } = factsOf((await it.taken.next()).socket);
        expect(clientCertificate).toMatchObject({
          subject: 'CN=Zo\\C3\\AB \\+ Ada,O=Example\\, \\"Ltd\\"',
          fields: [
            ['Client-Cert', expect.stringMatching(/^:[A-Za-z0-9+/]+=*:$/)],
            ['X-Subject', 'CN=Zo\\C3\\AB \\+ Ada,O=Example\\, \\"Ltd\\"'],
          ],
        });
      }
    });

    it.each(['TLSv1.2', 'TLSv1.3'] as const)('may be required (%s)', async (maxVersion) => {
      const it = await stage(tlsPlan(['chat'], clientCertificates('required')));
      await refused(it.dial({ maxVersion }));
      expect((await it.failures.next()).reason).toBe('peer did not return a certificate');
      await refused(it.dial({ maxVersion, ...strange }));
      expect((await it.failures.next()).reason).toBe(
        'the client’s certificate is not accepted: DEPTH_ZERO_SELF_SIGNED_CERT',
      );
      expect(it.taken.all).toEqual([]);
    });

    it.each(['TLSv1.2', 'TLSv1.3'] as const)('may be optional, but not wrong (%s)', async (maxVersion) => {
      const it = await stage(tlsPlan(['chat'], clientCertificates('optional')));
      await it.dial({ maxVersion });
      expect(factsOf((await it.taken.next()).socket).clientCertificate).toBeUndefined();
      await it.dial({ maxVersion, ...known });
      expect(factsOf((await it.taken.next()).socket).clientCertificate).toBeDefined();
      await refused(it.dial({ maxVersion, ...strange }));
      expect((await it.failures.next()).reason).toMatch(/DEPTH_ZERO_SELF_SIGNED_CERT$/);
      expect(it.taken.all).toHaveLength(2);
    });
  });
});

function clientCertificates(mode: 'required' | 'optional'): Pick<TlsPlan, 'clientCertificates'> {
  return {
    clientCertificates: { ca: authority, mode, header: 'Client-Cert', subjectHeader: 'X-Subject' },
  };
}

/** In TLS 1.3 a client learns of its refusal only when it reads. */
async function refused(dialling: Promise<TLSSocket>): Promise<void> {
  try {
    const client = await dialling;
    await once(client.resume(), 'close');
  } catch {
    // Refused at once.
  }
}

type Stage = Awaited<ReturnType<typeof stage>>;

async function sessionOf({ dial }: Stage, options: ConnectionOptions): Promise<Buffer> {
  const client = await dial(options);
  // In TLS 1.3 it comes after the handshake.
  const session = client.getSession();
  if (client.getProtocol() === 'TLSv1.2') return session!;
  return ((await once(client.resume(), 'session')) as [Buffer])[0];
}

interface StageOptions {
  readonly timeoutMs?: number;
  readonly h2?: boolean;
  readonly before?: (socket: Socket) => Promise<void>;
}

async function stage(plan: TlsPlan, { timeoutMs = 60_000, h2 = false, before }: StageOptions = {}) {
  const taken = new Inbox<{ socket: TLSSocket; protocol: keyof Takers }>('taken connections');
  const failures = new Inbox<{ reason: string; address: string }>('failures');
  const entered = new Inbox<Socket>('accepted connections');
  const sockets: Socket[] = [];
  const taker = (protocol: keyof Takers) => (socket: TLSSocket) => {
    socket.on('error', () => {});
    taken.push({ socket, protocol });
  };
  const takers = { 'http/1.1': taker('http/1.1'), ...(h2 ? { h2: taker('h2') } : {}) };
  const it = {
    plan,
    stage: new TlsStage(
      () => takers,
      (reason, address) => failures.push({ reason, address }),
    ),
    taken,
    failures,
    entered,
    sockets,
    port: 0,
    /** Resolves when the client holds the handshake for done. */
    async dial(options: ConnectionOptions): Promise<TLSSocket> {
      const client = connectTls({
        host: '127.0.0.1',
        port: it.port,
        ca: authority,
        servername: 'chat.example.test',
        ...options,
      });
      onTestFinished(() => void client.destroy());
      await once(client, 'secureConnect');
      client.on('error', () => {});
      return client;
    },
  };
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    const enter = () => it.stage.enter(socket, it.plan, timeoutMs);
    if (before === undefined) enter();
    else before(socket).then(enter, () => {});
    entered.push(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  it.port = (server.address() as AddressInfo).port;
  return it;
}
