import { describe, expect, it } from 'vitest';
import { FieldLines, fieldLine } from './field-lines.js';
import { HeaderList } from './header-list.js';

describe('FieldLines', () => {
  const raw = ['Host', 'a', 'Cookie', 'x=1; y: 2', 'X-Empty', '', 'cookie', '\u00e9\u00ff'];

  it('is the fields as they go out, and gives them back as they were', () => {
    const lines = FieldLines.of(HeaderList.fromRaw(raw));
    expect(lines.text).toBe('Host: a\r\nCookie: x=1; y: 2\r\nX-Empty: \r\ncookie: \u00e9\u00ff\r\n');
    expect(lines.toList().toRaw()).toEqual(raw);
    expect(FieldLines.of(new HeaderList()).toList().size).toBe(0);
  });

  it('knows whether there is a Host or a TE, in any case', () => {
    const of = (name: string) => FieldLines.of(HeaderList.fromRaw([name, 'a'])).with('B: 2\r\n');
    expect(of('hOST')).toMatchObject({ hasHost: true, hasTe: false });
    expect(of('TE')).toMatchObject({ hasHost: false, hasTe: true });
    expect(of('X-Host')).toMatchObject({ hasHost: false, hasTe: false });
  });

  it('has others behind it without a change to itself', () => {
    const lines = FieldLines.of(HeaderList.fromRaw(['A', '1']));
    expect(lines.with(fieldLine('B', '2')).toList().toRaw()).toEqual(['A', '1', 'B', '2']);
    expect(lines.text).toBe('A: 1\r\n');
  });

  it.each([
    ['A', 'b\r\nC: d'],
    ['A', 'b\n'],
    ['A', '\0'],
    ['A', '\u0100'],
    ['A: b\r\nC', 'd'],
    ['', 'a'],
  ])('lets no line in that is none: %j: %j', (name, value) => {
    expect(() => fieldLine(name, value)).toThrow(RangeError);
    expect(() => FieldLines.of(HeaderList.fromRaw([name, value]))).toThrow(RangeError);
  });
});
