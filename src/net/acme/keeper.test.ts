import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { certificate, type CertificateName } from '../../../test/fixtures/certificates.js';
import { ManualClock } from '../../base/manual-clock.js';
import type { AcmeFailed, AcmeObtained, AcmeOrdered } from '../../observe/acme.js';
import { AcmeChallenges } from './challenges.js';
import { CertificateKeeper } from './keeper.js';
import type { Obtained, OrderContext } from './order.js';
import type { AcmePlan } from './plan.js';
import { AcmeStorage } from './storage.js';
import { AcmeError } from './transport.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Certificates of the tests are valid from 2026 to 2126; two thirds of that are over in 2092. */
const RENEWAL = Date.UTC(2092, 8, 1);
const START = Date.UTC(2092, 7, 1);

describe('CertificateKeeper', () => {
  it('orders what is missing, at once, and keeps it', async () => {
    const it = make();
    expect(it.keeper.certificate).toBeUndefined();
    expect(it.orders).toHaveLength(0);
    it.keeper.start();
    expect(it.told).toEqual(['ordered, without one']);
    await it.obtain('chat');
    expect(it.told.slice(1)).toEqual(['obtained first']);
    expect(it.keeper.certificate?.names).toEqual(['chat.example.test']);
    expect(new AcmeStorage(it.plan).read()?.cert).toBe(pem('chat').cert);
    expect(it.orders[0]!.accountKey).toMatch(/PRIVATE KEY/);
  });

  it('takes what is stored, and orders nothing as long as it is good', () => {
    const it = make({ stored: 'chat' });
    expect(it.keeper.certificate?.cert).toBe(pem('chat').cert);
    it.keeper.start();
    it.clock.advance(20 * DAY);
    expect(it.orders).toHaveLength(0);
    expect(it.told).toEqual([]);
  });

  it('renews in time, once, and swaps', async () => {
    const it = make({ stored: 'chat' });
    it.keeper.start();
    it.advanceTo(RENEWAL - DAY);
    expect(it.told).toEqual([]);
    it.advanceTo(RENEWAL + 2 * DAY);
    expect(it.told).toEqual(['ordered, with one until 2126']);
    expect(it.keeper.certificate?.cert).toBe(pem('chat').cert);
    await it.obtain('chat-renewed');
    expect(it.told.slice(1)).toEqual(['obtained another']);
    expect(it.keeper.certificate?.cert).toBe(pem('chat-renewed').cert);
    expect(new AcmeStorage(it.plan).read()?.cert).toBe(pem('chat-renewed').cert);
  });

  it('does not order one after the other when the dates are those of another clock', async () => {
    // The new one is as old as the one before it.
    const it = make({ stored: 'chat', start: RENEWAL + DAY });
    it.keeper.start();
    await it.obtain('chat-renewed');
    it.clock.advance(59 * MINUTE);
    expect(it.orders).toHaveLength(1);
    it.clock.advance(2 * MINUTE);
    expect(it.orders).toHaveLength(2);
  });

  it('looks at the dates again when the clock was put right', () => {
    const it = make({ stored: 'chat' });
    it.keeper.start();
    it.setDate(RENEWAL + DAY);
    it.clock.advance(HOUR);
    expect(it.orders).toHaveLength(1);
  });

  it('uses a certificate that its clock does not believe in, and says so', async () => {
    const it = make({ start: Date.UTC(2020, 0, 1) });
    it.keeper.start();
    await it.obtain('chat');
    expect(it.keeper.certificate?.cert).toBe(pem('chat').cert);
    expect(it.told.slice(1)).toEqual([
      'obtained first',
      'failed: the new certificate is in use, but it is valid from 2026-01-01T00:00:00.000Z to 2126-01-01T00:00:00.000Z, and the clock of this machine says 2020-01-01T00:00:00.000Z',
    ]);
  });

  it('tries again: soon when nobody was heard, later and later when it was refused', async () => {
    const it = make();
    it.keeper.start();
    await it.fail(new AcmeError('ca.example.test cannot be reached: no route'));
    expect(it.told.at(-1)).toBe('failed: ca.example.test cannot be reached: no route');
    expect(it.retryInMs()).toBe(10_000);
    it.clock.advance(9999);
    expect(it.orders).toHaveLength(1);
    it.clock.advance(1);
    expect(it.orders).toHaveLength(2);
    await it.fail(new AcmeError('no', { isRefusal: true }));
    expect(it.retryInMs()).toBe(10 * MINUTE);
    it.clock.advance(10 * MINUTE);
    await it.fail(new AcmeError('no', { isRefusal: true }));
    expect(it.retryInMs()).toBe(20 * MINUTE);
    it.clock.advance(20 * MINUTE);
    await it.obtain('chat');
    it.advanceTo(RENEWAL + DAY);
    // From the beginning.
    await it.fail(new AcmeError('no', { isRefusal: true }));
    expect(it.retryInMs()).toBe(5 * MINUTE);
  });

  it('waits as long as the authority asks it to', async () => {
    const it = make();
    it.keeper.start();
    await it.fail(new AcmeError('too many', { isRefusal: true, retryAfterMs: 5 * HOUR }));
    expect(it.retryInMs()).toBe(5 * HOUR);
    it.clock.advance(5 * HOUR - 1);
    expect(it.orders).toHaveLength(1);
    it.clock.advance(1);
    expect(it.orders).toHaveLength(2);
  });

  it('is not hurt by whatever else is thrown', async () => {
    const it = make();
    it.keeper.start();
    await it.fail(new TypeError('a fault'));
    expect(it.told.at(-1)).toBe('failed: a fault');
    it.clock.advance(DAY);
    expect(it.orders).toHaveLength(2);
  });

  it('orders nothing where nothing could be kept', async () => {
    const it = make();
    mkdirSync(it.plan.folder);
    writeFileSync(join(it.plan.folder, 'ca.example.test-dir'), 'in the way');
    it.keeper.start();
    await it.settled();
    expect(it.orders).toHaveLength(0);
    expect(it.told.at(-1)).toMatch(/^failed: nothing can be kept in .*certificates: EEXIST/);
  });

  it('uses a certificate that it cannot keep', async () => {
    const it = make();
    it.keeper.start();
    const { file } = new AcmeStorage(it.plan);
    mkdirSync(join(file, 'in the way'), { recursive: true });
    await it.obtain('chat');
    expect(it.keeper.certificate?.cert).toBe(pem('chat').cert);
    expect(it.told.slice(1)).toEqual([
      'obtained first',
      expect.stringMatching(/^failed: nothing can be kept/),
    ]);
    rmSync(dirname(file), { recursive: true });
  });

  it('goes on with another plan', async () => {
    const it = make({ stored: 'chat' });
    it.keeper.start();
    it.keeper.update({ ...it.plan, renewBeforeMs: 10 * 365 * DAY });
    it.advanceTo(RENEWAL + 30 * DAY);
    expect(it.orders).toHaveLength(0);
    it.keeper.update({ ...it.plan, email: 'ops@example.test' });
    expect(it.orders).toHaveLength(1);
    await it.fail(new AcmeError('no', { isRefusal: true }));
    // The same plan is no reason to try again, another one is.
    it.keeper.update({ ...it.plan, email: 'ops@example.test' });
    expect(it.orders).toHaveLength(1);
    it.keeper.update({ ...it.plan, challenge: 'tls-alpn-01' });
    expect(it.orders).toHaveLength(2);
  });

  it('ends an order under way, and leaves nothing behind', async () => {
    const it = make();
    it.keeper.start();
    const closed = it.keeper.close();
    expect(it.orders[0]!.signal.aborted).toBe(true);
    await it.fail(new Error('aborted'));
    await closed;
    expect(it.told).toEqual(['ordered, without one']);
    expect(it.clock.pending).toBe(0);
  });

  it('leaves no timer behind when it waits', async () => {
    const it = make({ stored: 'chat' });
    it.keeper.start();
    expect(it.clock.pending).toBe(1);
    await it.keeper.close();
    expect(it.clock.pending).toBe(0);
  });
});

interface Order extends OrderContext {
  resolve(obtained: Obtained): void;
  reject(error: Error): void;
}

/** A clock whose date may be put right. */
class MovableClock extends ManualClock {
  offsetMs = 0;
  override date(): Date {
    return new Date(super.date().getTime() + this.offsetMs);
  }
}

function make({ stored, start = START }: { stored?: CertificateName; start?: number } = {}) {
  const parent = mkdtempSync(join(tmpdir(), 'tidegate-acme-'));
  onTestFinished(() => rmSync(parent, { recursive: true }));
  const plan: AcmePlan = {
    domains: ['chat.example.test'],
    directoryUrl: 'https://ca.example.test/dir',
    ca: undefined,
    email: undefined,
    challenge: 'http-01',
    folder: join(parent, 'certificates'),
    renewBeforeMs: undefined,
  };
  if (stored !== undefined) new AcmeStorage(plan).keep(pem(stored));
  const clock = new MovableClock(start);
  const orders: Order[] = [];
  const told: string[] = [];
  let failure: AcmeFailed | undefined;
  const keeper = new CertificateKeeper(
    plan,
    {
      clock,
      random: { float: () => 0, id: () => 'id' },
      challenges: new AcmeChallenges(),
      obtain: (_plan, context) =>
        new Promise((resolve, reject) => orders.push({ ...context, resolve, reject })),
    },
    {
      onOrdered: ({ validTo }: AcmeOrdered) =>
        told.push(
          validTo === undefined
            ? 'ordered, without one'
            : `ordered, with one until ${validTo.getUTCFullYear()}`,
        ),
      onObtained: (_obtained: AcmeObtained, isFirst) =>
        told.push(`obtained ${isFirst ? 'first' : 'another'}`),
      onFailed: (failed) => {
        failure = failed;
        told.push(`failed: ${failed.detail}`);
      },
    },
  );
  /** Everything that has no timer to wait for. */
  const settled = () => new Promise<void>((resolve) => setImmediate(resolve));
  return {
    keeper,
    plan,
    clock,
    orders,
    told,
    settled,
    retryInMs: () => failure!.retryAt.getTime() - clock.date().getTime(),
    setDate: (ms: number) => (clock.offsetMs += ms - clock.date().getTime()),
    advanceTo: (ms: number) => clock.advance(ms - clock.date().getTime()),
    async obtain(name: CertificateName) {
      orders.at(-1)!.resolve(pem(name));
      await settled();
    },
    async fail(error: Error) {
      orders.at(-1)!.reject(error);
      await settled();
    },
  };
}

function pem(name: CertificateName): Obtained {
  const text = certificate(name);
  const at = text.indexOf('-----BEGIN CERTIFICATE-----');
  return { key: text.slice(0, at), cert: text.slice(at) };
}
