import { describe, expect, it } from 'vitest';
import { ConfigError } from './issues.js';
import { parseConfig } from './parse.js';
import { readYaml } from './read-yaml.js';

describe('what is read', () => {
  it('YAML with anchors, aliases and merge keys', () => {
    const { value } = readYaml(`
defaults: &slow { idleTimeout: 1h, observe: true }
routes:
  - websocket: { <<: *slow, observe: false }
  - websocket: *slow
`);
    expect(value).toEqual({
      defaults: { idleTimeout: '1h', observe: true },
      routes: [
        { websocket: { idleTimeout: '1h', observe: false } },
        { websocket: { idleTimeout: '1h', observe: true } },
      ],
    });
  });

  it('JSON, tabs, escapes and a byte order mark included', () => {
    const { value } = readYaml('\ufeff{\n\t"relay": "auto",\n\t"x": "\\u00e9\\n"\n}');
    expect(value).toEqual({ relay: 'auto', x: 'é\n' });
  });

  it('a file with nothing in it', () => {
    expect(readYaml('').value).toBeNull();
    expect(readYaml('# nothing\n').value).toBeNull();
  });
});

describe('what cannot be read', () => {
  it.each([
    [
      'a key that is there twice',
      'relay: auto\nrelay: stream\n',
      'x.yaml:2:1: the key "relay" is there twice',
    ],
    [
      'the same in JSON',
      '{\n  "relay": "auto",\n  "relay": "auto"\n}',
      'x.yaml:3:3: the key "relay" is there twice',
    ],
    [
      'a second document',
      'relay: auto\n---\nrelay: auto\n',
      'x.yaml:2:1: a configuration is one document; `---` begins another here',
    ],
    ['an alias without anchor', 'relay: auto\ndrain: *d\n', 'x.yaml:2:8: no anchor `&d` before this'],
    [
      'a tag',
      'relay: !!js/function "x"\n',
      'x.yaml:1:8: unknown tag tag:yaml.org,2002:js/function; tags run nothing here',
    ],
    [
      'a bracket left open',
      'routes: [\n',
      expect.stringMatching(/^x\.yaml:2:1: cannot be read: .*end with a \]/),
    ],
    [
      'a tab for indentation',
      'drain:\n\ttimeout: 1s\n',
      expect.stringMatching(/^x\.yaml:2:1: cannot be read: Tabs/),
    ],
  ])('%s', (_, text, message) => {
    expect(failure(() => readYaml(text, 'x.yaml'))).toEqual([message]);
  });

  it('is told all at once', () => {
    expect(failure(() => readYaml('a: 1\na: 2\nb: 1\nb: 2\n', 'x.yaml'))).toHaveLength(2);
  });

  it('aliases that would unfold without end', () => {
    const bomb = ['a0: &a0 [x, x, x, x, x, x, x, x]'];
    for (let i = 1; i < 9; i++) bomb.push(`a${i}: &a${i} [${`*a${i - 1}, `.repeat(8)}]`);
    expect(failure(() => readYaml(bomb.join('\n'), 'x.yaml'))).toEqual([
      expect.stringMatching(/^x\.yaml: cannot be read: Excessive alias count/),
    ]);
  });
});

describe('where things stand', () => {
  const text = `
listeners:
  - 8080
  - address: 127.0.0.1:9000
    header_timeout: 3s
shared: &shared
  idleTimeout: 30
upstreams:
  chat:
    - http://127.0.0.1:3001
    - localhost:3002
routes:
  - to: chta
    websocket: *shared
  - match: {host: "a:80", path: [ /a, b ]}
    to: chat
    websocket:
      <<: *shared
  - match: {}
`;

  it('every issue names line and column of what it is about', () => {
    const { value, source } = readYaml(text, 'x.yaml');
    expect(failure(() => parseConfig(value, source)).map((line) => line.split(': ', 2).join(' '))).toEqual([
      'x.yaml:5:5 listeners[1].header_timeout',
      'x.yaml:6:1 shared',
      // Both ways to the same text: an alias, and a merge.
      'x.yaml:7:3 routes[0].websocket.idleTimeout',
      'x.yaml:7:3 routes[1].websocket.idleTimeout',
      'x.yaml:11:7 upstreams.chat[1]',
      'x.yaml:13:5 routes[0].to',
      'x.yaml:15:13 routes[1].match.host',
      'x.yaml:15:39 routes[1].match.path[1]',
      // What is missing is missing here.
      'x.yaml:19:5 routes[2].to',
    ]);
  });
});

function failure(run: () => unknown): string[] {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof ConfigError) return thrown.message.split('\n');
    throw thrown;
  }
  return [];
}
