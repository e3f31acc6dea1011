import { describe, expect, it } from 'vitest';
import { parseConfig } from './parse.js';

function parse(upstream: object) {
  const servers = 'https://127.0.0.1:3000';
  return parseConfig({ upstreams: { chat: { servers, ...upstream } }, routes: [{ to: 'chat' }] });
}

describe('upstreams.*.http2', () => {
  it.each([
    [{}, false],
    [{ http2: false, proxyProtocol: 'v2' }, false],
    [{ http2: true }, true],
    [{ http2: 'auto', proxyProtocol: false }, 'auto'],
  ])('%j', (upstream, expected) => {
    expect(parse(upstream).upstreams['chat']?.http2).toBe(expected);
  });

  it.each([
    [{ http2: 'h2' }, /expected true, false, or auto, found "h2"/],
    [{ http2: true, proxyProtocol: 'v1' }, /cannot go together with `proxyProtocol`/],
    [{ http2: 'auto', proxyProtocol: 'v2' }, /cannot go together with `proxyProtocol`/],
  ])('%j is an error', (upstream, message) => {
    expect(() => parse(upstream)).toThrow(message);
  });
});
