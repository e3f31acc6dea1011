import { describe, expect, it } from 'vitest';
import { hostNames, NameTable } from './tls-names.js';

describe('the host names of a certificate', () => {
  it.each([
    ['DNS:Chat.Example.com, DNS:*.example.com., IP Address:192.0.2.1', ['chat.example.com', '*.example.com']],
    ['DNS:a.example, DNS:A.example', ['a.example']],
    // What is quoted is one value, whatever stands in it.
    ['URI:"http://x/, DNS:evil.example", DNS:good.example', ['good.example']],
    ['DNS:"a\\"b, DNS:evil.example"', []],
    ['DNS:a*.example, DNS:*, DNS:*.*.example, DNS:ok.example', ['ok.example']],
    ['IP Address:192.0.2.1, email:a@b.example', []],
    [undefined, []],
  ])('%s', (subjectAltName, names) => {
    expect(hostNames({ subjectAltName })).toEqual(names);
  });
});

describe('NameTable', () => {
  const table = new NameTable([
    [['a.example.com', '*.example.com'], 'first'],
    [['b.example.com', 'a.example.com', '*.b.example.com'], 'second'],
  ]);

  it.each([
    ['a.example.com', 'first'],
    ['A.EXAMPLE.com.', 'first'],
    // A whole name goes before a wildcard, also before one that stands earlier.
    ['b.example.com', 'second'],
    ['c.example.com', 'first'],
    ['x.b.example.com', 'second'],
    // One label, neither none nor two.
    ['example.com', undefined],
    ['.example.com', undefined],
    ['x.y.example.com', undefined],
    ['*.example.com', 'first'],
    ['com', undefined],
    ['', undefined],
  ])('%j finds %j', (name, found) => {
    expect(table.find(name)).toBe(found);
  });
});
