import { expect, it } from 'vitest';
import { ConfigError, formatIssue, formatPath, placeFindings } from './issues.js';

it.each([
  [[], ''],
  [['routes', 2, 'match', 'host'], 'routes[2].match.host'],
  [['upstreams', 'a b', 'servers', 0], 'upstreams["a b"].servers[0]'],
  [['upstreams', 'a.b'], 'upstreams["a.b"]'],
])('the path %j is shown as %j', (path, text) => {
  expect(formatPath(path)).toBe(text);
});

it('says what it knows of place, path and suggestion', () => {
  const message = 'no upstream named "chta"';
  const path = 'routes[2].to';
  expect(formatIssue({ path, message })).toBe('routes[2].to: no upstream named "chta"');
  expect(formatIssue({ path, message, file: 'a.yaml', line: 3, column: 9, suggestion: 'chat' })).toBe(
    'a.yaml:3:9: routes[2].to: no upstream named "chta"; did you mean "chat"?',
  );
  expect(formatIssue({ path: '', message: 'is empty', file: 'a.yaml' })).toBe('a.yaml: is empty');
});

it('lists findings in the order of the file', () => {
  const lines: Record<string, number> = { a: 7, b: 3, c: 5 };
  const issues = placeFindings(
    ['a', 'b', 'c'].map((key) => ({ path: [key], message: 'is wrong' })),
    { file: 'x', locate: ([key]) => ({ line: lines[key!]!, column: 1 }) },
  );
  expect(new ConfigError(issues).message).toBe('x:3:1: b: is wrong\nx:5:1: c: is wrong\nx:7:1: a: is wrong');
});
