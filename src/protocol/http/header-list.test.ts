import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HeaderList } from './header-list.js';

const raw = ['Host', 'a', 'set-cookie', '1', 'X', 'x', 'Set-Cookie', '2', 'SET-COOKIE', '3'];

describe('HeaderList', () => {
  it('keeps order, case and duplicates', () => {
    const list = HeaderList.fromRaw(raw);
    expect(list.toRaw()).toEqual(raw);
    expect([...list]).toEqual([
      ['Host', 'a'],
      ['set-cookie', '1'],
      ['X', 'x'],
      ['Set-Cookie', '2'],
      ['SET-COOKIE', '3'],
    ]);
    expect(list.size).toBe(5);
  });

  it('finds without regard to case', () => {
    const list = HeaderList.fromRaw(raw);
    expect(list.has('HOST')).toBe(true);
    expect(list.get('hOsT')).toBe('a');
    expect(list.get('Set-Cookie')).toBe('1');
    expect(list.all('set-cookie')).toEqual(['1', '2', '3']);
    expect(list.has('Cookie')).toBe(false);
    expect(list.get('Cookie')).toBeUndefined();
    expect(list.all('Cookie')).toEqual([]);
  });

  it('has no fields that nobody sent', () => {
    const list = new HeaderList();
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      expect(list.has(name)).toBe(false);
      expect(list.get(name)).toBeUndefined();
    }
    list.append('__proto__', 'x');
    expect(list.get('__proto__')).toBe('x');
    expect(list.toRaw()).toEqual(['__proto__', 'x']);
  });

  it('sets in place: first spelling and position kept, further ones dropped', () => {
    const list = HeaderList.fromRaw(raw);
    list.set('Set-Cookie', 'new');
    expect(list.toRaw()).toEqual(['Host', 'a', 'set-cookie', 'new', 'X', 'x']);
    list.set('Absent', 'y');
    expect(list.toRaw()).toEqual(['Host', 'a', 'set-cookie', 'new', 'X', 'x', 'Absent', 'y']);
    expect(list.get('absent')).toBe('y');
  });

  it('deletes every field of a name', () => {
    const list = HeaderList.fromRaw(raw);
    list.delete('SET-cookie');
    list.delete('absent');
    expect(list.toRaw()).toEqual(['Host', 'a', 'X', 'x']);
    expect(list.has('set-cookie')).toBe(false);
    list.append('Set-Cookie', '4');
    expect(list.get('set-cookie')).toBe('4');
  });

  it('deletes by a test of the lower-case name', () => {
    const list = HeaderList.fromRaw(raw);
    list.deleteWhere((name) => name.startsWith('set-'));
    expect(list.toRaw()).toEqual(['Host', 'a', 'X', 'x']);
  });

  it('clones without sharing', () => {
    const list = HeaderList.fromRaw(raw);
    const clone = list.clone();
    clone.set('Host', 'b');
    clone.delete('set-cookie');
    expect(list.toRaw()).toEqual(raw);
  });

  it.each<[string[], string[]]>([
    [[], []],
    [[''], []],
    [['a'], ['a']],
    [
      ['a, b', 'c'],
      ['a', 'b', 'c'],
    ],
    [[' a ,\tb\t,, ,c '], ['a', 'b', 'c']],
    // U+00A0 is the byte 0xA0, a part of the element, not whitespace around it.
    [['\u00a0upgrade'], ['\u00a0upgrade']],
    [['\vchunked'], ['\vchunked']],
  ])('splits %j into elements', (values, elements) => {
    const list = new HeaderList();
    for (const value of values) list.append('Connection', value);
    expect(list.elements('connection')).toEqual(elements);
  });

  it.each([
    ['keep-alive, Upgrade', true],
    ['UPGRADE', true],
    ['upgraded', false],
    ['not-upgrade', false],
    ['"upgrade"', false],
    ['\u00a0upgrade', false],
    ['', false],
  ])('Connection: %j names upgrade: %s', (value, expected) => {
    expect(HeaderList.fromRaw(['Connection', value]).hasToken('connection', 'Upgrade')).toBe(expected);
  });

  it('agrees with a plain list of pairs after any series of changes', () => {
    const name = fc.constantFrom('a', 'A', 'b', 'B', 'c');
    const change = fc.oneof(
      fc.record({ kind: fc.constant('append' as const), name, value: fc.string() }),
      fc.record({ kind: fc.constant('set' as const), name, value: fc.string() }),
      fc.record({ kind: fc.constant('delete' as const), name, value: fc.constant('') }),
    );
    fc.assert(
      fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
        const list = new HeaderList();
        let pairs: [string, string][] = [];
        for (const { kind, name, value } of changes) {
          const same = ([other]: [string, string]) => other.toLowerCase() === name.toLowerCase();
          const first = pairs.find(same);
          list[kind](name, value);
          if (kind === 'append' || (kind === 'set' && first === undefined)) pairs.push([name, value]);
          else if (kind === 'delete') pairs = pairs.filter((pair) => !same(pair));
          else {
            pairs = pairs.filter((pair) => pair === first || !same(pair));
            first![1] = value;
          }
          expect([...list]).toEqual(pairs);
        }
      }),
    );
  });
});
