import { describe, expect, it } from 'vitest';
import { readSelectionExpression, selectRoute } from './routes.js';

it.each([
  ['$request.body.action', ['action']],
  ['${request.body.action}', ['action']],
  ['$request.body.a.b-c.d_1', ['a', 'b-c', 'd_1']],
  ['$request.body', undefined],
  ['$request.body.', undefined],
  ['$request.body.a..b', undefined],
  ['$request.header.x', undefined],
  ['request.body.action', undefined],
  ['${request.body.a', undefined],
])('reads %s', (text, field) => {
  expect(readSelectionExpression(text)).toEqual(field);
});

describe('where every name is a route', () => {
  const select = (text: string) => selectRoute(text, { field: ['action'], routes: undefined });

  it.each([
    ['{"action":"join"}', 'join'],
    [`{"action":"${'x'.repeat(128)}"}`, 'x'.repeat(128)],
    [`{"action":"${'x'.repeat(129)}"}`, '$default'],
    ['{"action":""}', '$default'],
    ['{"action":"$disconnect"}', '$default'],
    ['{"action":["join"]}', '$default'],
    ['{}', '$default'],
    ['[]', '$default'],
    ['null', '$default'],
    ['', '$default'],
    ['{"action":"join"', '$default'],
  ])('%s', (text, route) => {
    expect(select(text)).toBe(route);
  });
});

it('finds nothing that objects have by nature', () => {
  const selection = { field: ['constructor', 'name'], routes: undefined };
  expect(selectRoute('{}', selection)).toBe('$default');
  expect(selectRoute('{"constructor":{"name":"mine"}}', selection)).toBe('mine');
});
