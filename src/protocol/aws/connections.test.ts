import { expect, it } from 'vitest';
import { connectionOfPath, writeConnection } from './connections.js';

it.each([
  ['/@connections/n.1', 'n.1'],
  ['/production/@connections/L0SM9cOFvHcCIhw%3D', 'L0SM9cOFvHcCIhw='],
  ['/a/b/%40connections/x%2Fy/', 'x/y'],
  ['/@connections/%ff', undefined],
])('%s names a connection', (path, id) => {
  expect(connectionOfPath(path)).toEqual({ id });
});

it.each(['/', '/publish/', '/@connections', '/@connections/a/b', '/connections/a', '/x@connections/a'])(
  '%s names none',
  (path) => {
    expect(connectionOfPath(path)).toBeUndefined();
  },
);

it('tells of a connection in times that SDKs read', () => {
  const facts = { connectedAtMs: 5000, lastActiveAtMs: 6001, sourceIp: '192.0.2.1', userAgent: undefined };
  expect(writeConnection(facts)).toEqual({
    connectedAt: '1970-01-01T00:00:05.000Z',
    identity: { sourceIp: '192.0.2.1', userAgent: undefined },
    lastActiveAt: '1970-01-01T00:00:06.001Z',
  });
  // What is known of the last byte is rounded to seconds.
  expect(writeConnection({ ...facts, lastActiveAtMs: 4000 })).toMatchObject({
    lastActiveAt: '1970-01-01T00:00:05.000Z',
  });
});
