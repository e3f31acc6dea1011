import { describe, expect, it } from 'vitest';
import { homesOf, keysAt, outline, type Outline } from './outline.js';

describe('keysAt', () => {
  it.each([
    [
      [],
      'listeners,upstreams,routes,relay,relayThreads,admin,publish,backplane,channels,accessLog,log,limits,drain,reload',
    ],
    [
      ['listeners', 3],
      'address,mode,trustedProxies,proxyProtocol,tls,maxHeaderBytes,headerTimeout,keepAliveTimeout,http2,limits',
    ],
    [['upstreams', 'any', 'tls'], 'verify,ca,serverName,cert,key,passphrase'],
    [['upstreams', 'any', 'servers', 0], 'url,weight,maxConnections,srv'],
    [['upstreams', 'any', 'queue'], 'size,timeout'],
    [['routes', 0, 'match'], 'host,path'],
    [['accessLog'], 'format,file'],
    [['routes', 0, 'websocket', 'ping'], 'interval,timeout,sides'],
    [['routes', 0, 'websocket', 'maxMessageBytes'], 'client,upstream'],
    [['routes', 'name'], ''],
    [['nowhere'], ''],
    [['toString'], ''],
  ])('%j', (path, keys) => {
    expect([...new Set(keysAt(path))].join()).toBe(keys);
  });
});

it('homesOf names every place where a key belongs', () => {
  expect(homesOf('maxHeaderBytes')).toEqual(['listeners[]', 'upstreams.*']);
  expect(homesOf('drain')).toEqual(['']);
  expect(homesOf('wibble')).toEqual([]);
});

it('every key has a description, and a type that people understand', () => {
  const silent: string[] = [];
  const look = (node: Outline, path: string) => {
    for (const [key, child] of Object.entries(node.properties ?? {})) {
      const isClear =
        child.label ?? child.enum ?? child.properties ?? ['boolean', 'integer'].includes(String(child.type));
      if (!child.description || !isClear) silent.push(`${path}.${key}`);
      look(child, `${path}.${key}`);
    }
    for (const option of node.anyOf ?? []) look(option, path);
    if (node.items) look(node.items, path);
    if (node.additionalProperties) look(node.additionalProperties, path);
  };
  look(outline(), '');
  expect(silent).toEqual([]);
});
