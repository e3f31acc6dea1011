import { describe, expect, it } from 'vitest';
import { HeaderList } from '../../protocol/http/header-list.js';
import { hashKey, type HashSource } from './hash-key.js';

const head = (target: string, ...raw: string[]) => ({
  method: 'GET',
  target,
  httpVersion: '1.1',
  headers: HeaderList.fromRaw(raw),
});

describe('the key of a request', () => {
  it.each<[HashSource, ReturnType<typeof head>, string | undefined]>([
    [{ kind: 'client-address' }, head('/'), '10.0.0.1'],
    [{ kind: 'path' }, head('/a/b?c=d'), '/a/b'],
    [{ kind: 'header', name: 'x-user' }, head('/', 'X-User', 'ada'), 'ada'],
    [{ kind: 'header', name: 'X-User' }, head('/', 'X-User', ''), undefined],
    [{ kind: 'header', name: 'X-User' }, head('/'), undefined],
    [{ kind: 'cookie', name: 'sid' }, head('/', 'Cookie', 'a=b; sid="1 2"; c'), '1 2'],
    [{ kind: 'cookie', name: 'sid' }, head('/', 'Cookie', 'xsid=1', 'Cookie', 'sid=2'), '2'],
    [{ kind: 'cookie', name: 'sid' }, head('/', 'Cookie', 'sid'), undefined],
    [{ kind: 'query', name: 'room' }, head('/live?x=1&room=caf%C3%A9'), 'café'],
    [{ kind: 'query', name: 'room' }, head('/live?room='), undefined],
    [{ kind: 'query', name: 'room' }, head('/live'), undefined],
  ])('%j', (source, request, key) => {
    expect(hashKey(source, request, '10.0.0.1')).toBe(key);
  });
});
