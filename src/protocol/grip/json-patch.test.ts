import { describe, expect, it } from 'vitest';
import { applyPatch, PatchProblem } from './json-patch.js';

describe('applyPatch', () => {
  it.each<[string, unknown, unknown[], unknown]>([
    [
      'A.1 adding an object member',
      { foo: 'bar' },
      [{ op: 'add', path: '/baz', value: 'qux' }],
      { baz: 'qux', foo: 'bar' },
    ],
    [
      'A.2 adding an array element',
      { foo: ['bar', 'baz'] },
      [{ op: 'add', path: '/foo/1', value: 'qux' }],
      { foo: ['bar', 'qux', 'baz'] },
    ],
    [
      'A.3 removing an object member',
      { baz: 'qux', foo: 'bar' },
      [{ op: 'remove', path: '/baz' }],
      { foo: 'bar' },
    ],
    [
      'A.4 removing an array element',
      { foo: ['bar', 'qux', 'baz'] },
      [{ op: 'remove', path: '/foo/1' }],
      { foo: ['bar', 'baz'] },
    ],
    [
      'A.5 replacing a value',
      { baz: 'qux', foo: 'bar' },
      [{ op: 'replace', path: '/baz', value: 'boo' }],
      { baz: 'boo', foo: 'bar' },
    ],
    [
      'A.6 moving a value',
      { foo: { bar: 'baz', waldo: 'fred' }, qux: { corge: 'grault' } },
      [{ op: 'move', from: '/foo/waldo', path: '/qux/thud' }],
      { foo: { bar: 'baz' }, qux: { corge: 'grault', thud: 'fred' } },
    ],
    [
      'A.7 moving an array element',
      { foo: ['all', 'grass', 'cows', 'eat'] },
      [{ op: 'move', from: '/foo/1', path: '/foo/3' }],
      { foo: ['all', 'cows', 'eat', 'grass'] },
    ],
    [
      'A.8 testing a value, success',
      { baz: 'qux', foo: ['a', 2, 'c'] },
      [
        { op: 'test', path: '/baz', value: 'qux' },
        { op: 'test', path: '/foo/1', value: 2 },
      ],
      { baz: 'qux', foo: ['a', 2, 'c'] },
    ],
    [
      'A.10 adding a nested member object',
      { foo: 'bar' },
      [{ op: 'add', path: '/child', value: { grandchild: {} } }],
      { foo: 'bar', child: { grandchild: {} } },
    ],
    [
      'A.11 ignoring unrecognized elements',
      { foo: 'bar' },
      [{ op: 'add', path: '/baz', value: 'qux', xyz: 123 }],
      { foo: 'bar', baz: 'qux' },
    ],
    [
      'A.14 ~ escape ordering',
      { '/': 9, '~1': 10 },
      [{ op: 'test', path: '/~01', value: 10 }],
      { '/': 9, '~1': 10 },
    ],
    [
      'A.16 adding an array value',
      { foo: ['bar'] },
      [{ op: 'add', path: '/foo/-', value: ['abc', 'def'] }],
      { foo: ['bar', ['abc', 'def']] },
    ],
    [
      'the whole document',
      { a: 1 },
      [
        { op: 'add', path: '', value: [] },
        { op: 'replace', path: '', value: 7 },
      ],
      7,
    ],
    [
      'a copy',
      { a: [1] },
      [
        { op: 'copy', from: '/a', path: '/b' },
        { op: 'add', path: '/b/0', value: 0 },
      ],
      { a: [1], b: [0, 1] },
    ],
    [
      'a null',
      { a: null },
      [
        { op: 'test', path: '/a', value: null },
        { op: 'replace', path: '/a', value: null },
      ],
      { a: null },
    ],
    [
      'objects whatever their order',
      { a: { b: 1, c: 2 } },
      [{ op: 'test', path: '/a', value: { c: 2, b: 1 } }],
      { a: { b: 1, c: 2 } },
    ],
    ['the empty name', { '': 1 }, [{ op: 'replace', path: '/', value: 2 }], { '': 2 }],
    ['a member where it is', { a: 1 }, [{ op: 'move', from: '/a', path: '/a' }], { a: 1 }],
  ])('RFC 6902, %s', (_, document, patch, result) => {
    expect(applyPatch(document, patch)).toEqual(result);
  });

  it.each<[string, unknown, unknown[], string]>([
    [
      'A.9 testing a value, error',
      { baz: 'qux' },
      [{ op: 'test', path: '/baz', value: 'bar' }],
      'operation 0: test of "/baz" failed',
    ],
    [
      'A.12 adding to a nonexistent target',
      { foo: 'bar' },
      [{ op: 'add', path: '/baz/bat', value: 'qux' }],
      'there is no "/baz"',
    ],
    [
      'A.15 comparing strings and numbers',
      { '/': 9, '~1': 10 },
      [{ op: 'test', path: '/~01', value: '10' }],
      'test of "/~01" failed',
    ],
    ['an index past the end', [1], [{ op: 'add', path: '/2', value: 0 }], 'there is no "/2"'],
    ['an index with a leading zero', [1, 2], [{ op: 'remove', path: '/01' }], "'01' is no index of a list"],
    ['the end of a list, removed', [1], [{ op: 'remove', path: '/-' }], "'-' is no index of a list"],
    [
      'a member that is not its own',
      {},
      [{ op: 'test', path: '/constructor', value: 1 }],
      'there is no "/constructor"',
    ],
    [
      'a parent in its child',
      { a: {} },
      [{ op: 'move', from: '/a', path: '/a/b' }],
      'cannot move "/a" into itself',
    ],
    ['below a string', { a: 'x' }, [{ op: 'add', path: '/a/0', value: 1 }], '"/a" is no list and no object'],
    ['an add without a value', {}, [{ op: 'add', path: '/a' }], "'add' has no 'value'"],
    ['a move without from', {}, [{ op: 'move', path: '/a' }], "'move' has no 'from'"],
    ['a path that is no pointer', {}, [{ op: 'remove', path: 'a' }], "has no 'path' that is a JSON Pointer"],
    ['a pointer with a lone ~', {}, [{ op: 'remove', path: '/~2' }], "has no 'path' that is a JSON Pointer"],
    ['another operation', {}, [{ op: 'bend', path: '' }], "no such op 'bend'; there are add, remove"],
    ['no operation', {}, [7], 'operation 0: is not an object'],
    ['the whole document, removed', {}, [{ op: 'remove', path: '' }], 'cannot remove the whole document'],
  ])('refuses %s', (_, document, patch, problem) => {
    expect(() => applyPatch(document, patch)).toThrow(PatchProblem);
    expect(() => applyPatch(document, patch)).toThrow(problem);
  });

  it('leaves what it was given as it is, patched or not', () => {
    const document = { a: [1] };
    const patch = [
      { op: 'add', path: '/b', value: { c: 1 } },
      { op: 'replace', path: '/b/c', value: 2 },
    ];
    applyPatch(document, patch);
    expect(() =>
      applyPatch(document, [
        { op: 'remove', path: '/a' },
        { op: 'remove', path: '/z' },
      ]),
    ).toThrow('operation 1');
    expect(document).toEqual({ a: [1] });
    expect(patch[0]).toEqual({ op: 'add', path: '/b', value: { c: 1 } });
  });

  it('changes nothing outside the document', () => {
    const result = applyPatch({}, [{ op: 'add', path: '/__proto__', value: { polluted: true } }]);
    expect(Object.keys(result as object)).toEqual(['__proto__']);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    expect((result as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  it('does not grow without end', () => {
    const double = Array.from({ length: 40 }, (_, i) => ({ op: 'copy', from: '', path: `/${i}` }));
    expect(() => applyPatch({ text: 'x'.repeat(1000) }, double)).toThrow('copies too much');
  });
});
