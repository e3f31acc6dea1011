import { describe, expect, it } from 'vitest';
import { HeaderList } from '../protocol/http/header-list.js';
import { Sticky, type StickyPlan } from './sticky.js';

const plan: StickyPlan = {
  cookie: 'tidegate',
  key: 'a secret of sixteen characters',
  path: '/',
  secure: 'auto',
  httpOnly: true,
  sameSite: 'lax',
  maxAgeMs: 0,
};
const ids = ['http://10.0.0.1:3001', 'http://10.0.0.2:3001', 'unix:/run/chat.sock'];

describe('Sticky', () => {
  it('brings a client back, in another process with the same key too', () => {
    for (const id of ids) {
      const cookie = pairOf(new Sticky(plan, 'chat').setCookie(id, false));
      expect(new Sticky(plan, 'chat').read(cookies(`a=b; ${cookie}; c=d`), ids)).toBe(id);
    }
  });

  it('shows nothing of the server', () => {
    const values = ids.map((id) => new Sticky(plan, 'chat').setCookie(id, false));
    for (const value of values) {
      expect(value).toMatch(/^tidegate=[\w-]{59}; Path=\/; HttpOnly; SameSite=Lax$/);
      const bytes = Buffer.from(pairOf(value).split('=')[1]!, 'base64url').toString('latin1');
      for (const part of ['10.0', '3001', 'unix', 'chat']) expect(bytes).not.toContain(part);
    }
    expect(new Set(values).size).toBe(ids.length);
  });

  it.each<[Partial<StickyPlan>, boolean, string]>([
    [{}, true, '; Path=/; Secure; HttpOnly; SameSite=Lax'],
    [{ secure: false, httpOnly: false, sameSite: 'strict' }, true, '; Path=/; SameSite=Strict'],
    [
      { secure: true, sameSite: 'none', path: '/chat', maxAgeMs: 90_500 },
      false,
      '; Path=/chat; Max-Age=91; Secure; HttpOnly; SameSite=None',
    ],
  ])('renders %j', (settings, isSecure, attributes) => {
    const value = new Sticky({ ...plan, ...settings }, 'chat').setCookie(ids[0]!, isSecure);
    expect(value.slice(value.indexOf(';'))).toBe(attributes);
  });

  it('takes a forged, foreign or malformed value for none', () => {
    const sticky = new Sticky(plan, 'chat');
    const value = pairOf(sticky.setCookie(ids[0]!, false)).split('=')[1]!;
    const foreignKey = pairOf(
      new Sticky({ ...plan, key: 'another secret of ours' }, 'chat').setCookie(ids[0]!, false),
    );
    const foreignUpstream = pairOf(new Sticky(plan, 'live').setCookie(ids[0]!, false));
    const bits = Array.from({ length: 44 }, (_, i) => {
      const bytes = Buffer.from(value, 'base64url');
      bytes[i]! ^= 1;
      return `tidegate=${bytes.toString('base64url')}`;
    });
    const others = [
      'tidegate=',
      'tidegate',
      `tidegate=${value}A`,
      `tidegate=${value.slice(1)}`,
      `Tidegate=${value}`,
    ];
    for (const cookie of [foreignKey, foreignUpstream, ...bits, ...others]) {
      expect(sticky.read(cookies(cookie), ids)).toBeUndefined();
    }
    expect(sticky.read(new HeaderList(), ids)).toBeUndefined();
    expect(sticky.read(cookies(`tidegate=${value}`), ids)).toBe(ids[0]);
  });

  it('looks past a value that is none of ours, though not for ever', () => {
    const sticky = new Sticky(plan, 'chat');
    const cookie = pairOf(sticky.setCookie(ids[1]!, false));
    expect(sticky.read(cookies(`tidegate=x; ${cookie}`), ids)).toBe(ids[1]);
    expect(sticky.read(cookies(`${'tidegate=x; '.repeat(8)}${cookie}`), ids)).toBeUndefined();
  });

  it('knows a server that has gone from one that never was', () => {
    const sticky = new Sticky(plan, 'chat');
    const cookie = cookies(pairOf(sticky.setCookie(ids[0]!, false)));
    sticky.prune(ids.slice(1));
    const name = sticky.read(cookie, ids.slice(1));
    expect(name).toBeDefined();
    expect(ids).not.toContain(name);
    // It may come back.
    expect(sticky.read(cookie, ids)).toBe(ids[0]);
  });

  it('signs with one key of the process without a key, and says so', () => {
    const own = { ...plan, key: undefined };
    const cookie = cookies(pairOf(new Sticky(own, 'chat').setCookie(ids[0]!, false)));
    expect(new Sticky(own, 'chat').read(cookie, ids)).toBe(ids[0]);
    expect(new Sticky(plan, 'chat').read(cookie, ids)).toBeUndefined();
    expect(new Sticky(own, 'chat').warning).toMatch(/^upstream chat: sticky has no key/);
    expect(new Sticky(plan, 'chat').warning).toBeUndefined();
  });
});

function pairOf(setCookie: string): string {
  return setCookie.split(';')[0]!;
}

function cookies(text: string): HeaderList {
  return HeaderList.fromRaw(['Cookie', text]);
}
