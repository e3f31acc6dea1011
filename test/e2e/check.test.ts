/** `tidegate check`: what it understood, or every error in its place. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { runCli } from '../fixtures/cli.js';
import { useFolders } from '../fixtures/folders.js';

const top = fileURLToPath(new URL('../..', import.meta.url));
const folder = useFolders('check');

describe.concurrent('check', () => {
  const yaml = `
listeners: [127.0.0.1:8080]
upstreams: { chat: [http://127.0.0.1:3001, http://127.0.0.1:3002] }
routes:
  - match: { host: chat.example.com, path: /socket.io/* }
    to: chat
  - to: http://127.0.0.1:3000
`;
  const object = `{
    "listeners": ["127.0.0.1:8080"],
    "upstreams": { "chat": ["http://127.0.0.1:3001", "http://127.0.0.1:3002"] },
    "routes": [
      { "match": { "host": "chat.example.com", "path": "/socket.io/*" }, "to": "chat" },
      { "to": "http://127.0.0.1:3000" }
    ]
  }`;

  test('says the same of one configuration in every format', async () => {
    const texts = {
      yaml,
      yml: yaml,
      json: object,
      js: `export default ${object};`,
      mjs: `export default ${object};`,
      ts: `import { defineConfig } from 'tidegate';\nexport default defineConfig(${object});`,
    };
    const results = await Promise.all(
      Object.entries(texts).map(async ([extension, text]) => {
        const cwd = folder({ [`tidegate.config.${extension}`]: text });
        const { code, stdout, stderr } = await runCli(['check'], { cwd });
        expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
        const [first, ...rest] = stdout.split('\n');
        expect(first).toBe(`tidegate.config.${extension} is fine`);
        return rest.join('\n');
      }),
    );
    expect(new Set(results).size).toBe(1);
    expect(results[0]).toContain(
      '1. chat.example.com /socket.io/*  →  chat (http://127.0.0.1:3001, http://127.0.0.1:3002)',
    );
    expect(results[0]).toContain('2. everything  →  http://127.0.0.1:3000');
  });

  test('tells everything that is wrong at once, each with its place', async () => {
    const cwd = folder({
      'bad.yaml': `listeners:
  - adress: 127.0.0.1:8080
upstreams:
  chat:
    servers: [http://127.0.0.1:3001/path]
    tls: { ca: gone.pem }
routes:
  - match: { host: a.example }
    to: chta
    websocket: { idleTimeout: 30 }
`,
    });
    expect(await runCli(['check', '--config', 'bad.yaml'], { cwd })).toEqual({
      code: 2,
      stdout: '',
      stderr: [
        'tidegate: bad.yaml:2:5: listeners[0].address: is missing; expected [HOST:]PORT or unix:PATH',
        'tidegate: bad.yaml:2:5: listeners[0].adress: unknown key; did you mean "address"?',
        `tidegate: bad.yaml:5:15: upstreams.chat.servers[0]: a server's URL takes no path or query, as requests keep their own; found "http://127.0.0.1:3001/path"; did you mean "http://127.0.0.1:3001"?`,
        'tidegate: bad.yaml:9:5: routes[0].to: no upstream named "chta"; did you mean "chat"?',
        'tidegate: bad.yaml:10:18: routes[0].websocket.idleTimeout: expected a duration such as 250ms, 30s, 5m or 1h, or never, found 30; did you mean "30s"?',
      ].join('\n'),
    });
  });

  test('tells of files that the configuration names', async () => {
    const cwd = folder({
      'tidegate.config.yaml': `listeners: [8080]
upstreams:
  chat: { servers: "https://chat", tls: { ca: gone.pem } }
routes: [{ to: chat }]
`,
    });
    expect(await runCli(['check'], { cwd })).toMatchObject({
      code: 2,
      stderr: `tidegate: tidegate.config.yaml:3:43: upstreams.chat.tls.ca: expected a PEM file with certificates, but ${join(cwd, 'gone.pem')} does not exist`,
    });
  });

  test('warns of what is hardly meant, and is content', async () => {
    const cwd = folder({
      'tidegate.config.yaml': `listeners: [8080]
routes:
  - to: http://127.0.0.1:3000
  - match: { path: /never }
    to: http://127.0.0.1:3001
`,
    });
    const { code, stdout, stderr } = await runCli(['check'], { cwd });
    expect(code).toBe(0);
    expect(stderr).toBe(
      'warning: tidegate.config.yaml:4:5: routes[1]: never reached: routes[0] comes first and takes every request that fits here',
    );
    expect(stdout).toMatch(/^tidegate\.config\.yaml is fine, but see the warnings\n/);
  });

  test.each([
    [
      'syntax.mjs',
      'export default {\n  routes: [,\n',
      /^tidegate: syntax\.mjs:3: SyntaxError: Unexpected [^\n]*$/,
    ],
    [
      'import.mjs',
      "import 'not-there-at-all';",
      /^tidegate: import\.mjs: Error: Cannot find package 'not-there-at-all'[^\n]*$/,
    ],
    [
      'own.mjs',
      "import { defineConfig } from 'tidegate';",
      /^tidegate: own\.mjs: Error: Cannot find package 'tidegate'[^\n]*; [^\n]*export a plain object[^\n]*$/,
    ],
    [
      'throws.js',
      'export default {};\nnull.x;',
      /^tidegate: throws\.js:2:6: TypeError: Cannot read properties of null[^\n]*$/,
    ],
    [
      'syntax.ts',
      'export default {\n  routes: [,\n',
      /^tidegate: syntax\.ts\S*: [^\n]*Unexpected token[^\n]*$/,
    ],
    [
      'twice.json',
      '{ "routes": [],\n "routes": [] }',
      /^tidegate: twice\.json:2:2: the key "routes" is there twice$/,
    ],
    [
      'listener.yaml',
      'routes: [{ to: http://a }]',
      /^tidegate: listener\.yaml:1:1: listeners: expected at least one listener[^\n]*$/,
    ],
    [
      'empty.yaml',
      '',
      /^tidegate: empty\.yaml:1:1: expected an object with `listeners`, `upstreams` and `routes`, found nothing$/,
    ],
  ])('%s: one line, exit 2, no stack', async (name, text, line) => {
    const cwd = folder({ [name]: text });
    const { code, stdout, stderr } = await runCli(['check', '--config', name], { cwd });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(line);
  });

  test.each(['check', 'serve'])('%s: a missing file, and no file at all', async (command) => {
    const cwd = folder();
    expect(await runCli([command, '--config', 'gone.yaml'], { cwd })).toEqual({
      code: 2,
      stdout: '',
      stderr: 'tidegate: gone.yaml: no such file',
    });
    const { code, stderr } = await runCli([command], { cwd });
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^tidegate: no configuration in .*: expected tidegate\.config\.ts .*--config FILE$/,
    );
  });

  test.each(readdirSync(join(top, 'examples/configs')))('the example %s', async (name) => {
    const { code, stderr } = await runCli(['check', '--config', join(top, 'examples/configs', name)]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });
});
