import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseConfig } from './parse.js';
import { findConfigFile, readConfigFile } from './read.js';

const root = mkdtempSync(join(tmpdir(), 'tidegate-read-'));
afterAll(() => rmSync(root, { recursive: true }));

let folders = 0;
/** A folder of its own for each test: modules are cached by their path. */
function folder(files: Readonly<Record<string, string>>): string {
  const dir = join(root, String(folders++));
  mkdirSync(dir);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
  return dir;
}

const listener = { address: '127.0.0.1:8080' };
const written = { listeners: [listener], routes: [{ to: 'http://127.0.0.1:3000' }] };

describe('one shape in every format', () => {
  it.each([
    [
      'tidegate.config.yaml',
      'listeners: [{ address: 127.0.0.1:8080 }]\nroutes: [{ to: http://127.0.0.1:3000 }]',
    ],
    [
      'tidegate.config.yml',
      'listeners:\n  - address: 127.0.0.1:8080\nroutes:\n  - to: http://127.0.0.1:3000',
    ],
    ['tidegate.config.json', JSON.stringify(written)],
    ['tidegate.config.mjs', `export default ${JSON.stringify(written)};`],
    ['tidegate.config.js', `export default ${JSON.stringify(written)};`],
    ['tidegate.config.cjs', `module.exports = ${JSON.stringify(written)};`],
    [
      'tidegate.config.ts',
      `import { helper } from './helper.js';
       interface Own { port: number }
       const own: Own = { port: 3000 };
       export default { listeners: [{ address: '127.0.0.1:8080' }], routes: [{ to: helper(own.port) }] };`,
    ],
    ['tidegate.config.mts', `const config: object = ${JSON.stringify(written)};\nexport default config;`],
  ])('%s', async (name, text) => {
    const dir = folder({
      [name]: text,
      'helper.ts': 'export const helper = (port: number): string => `http://127.0.0.1:${port}`;',
    });
    const document = await readConfigFile(name, dir);
    expect(parseConfig(document.value)).toEqual(parseConfig(written));
    expect(document).toMatchObject({ file: join(dir, name), baseDir: dir, source: { file: name } });
  });

  it('a TypeScript file that imports defineConfig from us, wherever it lies', async () => {
    const dir = folder({
      'c.ts': `import { defineConfig } from 'tidegate';
               export default defineConfig(${JSON.stringify(written)});`,
    });
    expect((await readConfigFile('c.ts', dir)).value).toEqual(written);
  });
});

describe('what cannot be read', () => {
  const bad = folder({
    'throws.mjs': 'export default {};\nthrow new RangeError("no such host\\nand more");',
    'syntax.ts': 'export default {\n  routes: [,\n',
    'throws.ts': 'export default {};\nnull!.x;',
    'empty.mjs': 'export const config = {};',
    'config.toml': 'x = 1',
    'broken.json': '{ "routes": [ }',
    'bad.yaml': 'routes: 1\n',
  });

  it.each<[string, unknown]>([
    ['nothing.yaml', 'nothing.yaml: no such file'],
    ['.', expect.stringMatching(/: is a folder; expected a file$/)],
    ['throws.mjs', 'throws.mjs:2:7: RangeError: no such host'],
    ['syntax.ts', expect.stringMatching(/^syntax\.ts\S*: .*Unexpected token/)],
    ['throws.ts', expect.stringMatching(/^throws\.ts:2(?::\d+)?: TypeError: Cannot read properties of null/)],
    [
      'empty.mjs',
      'empty.mjs: has no default export; expected `export default { … }` or `export default defineConfig({ … })`',
    ],
    [
      'config.toml',
      'config.toml: cannot tell what this file is; expected a name that ends in .yaml, .yml, .json, .js, .mjs or .ts',
    ],
    ['broken.json', expect.stringMatching(/^broken\.json:1:15: cannot be read: /)],
  ])('%s', async (file, message) => {
    await expect(readConfigFile(file, bad)).rejects.toMatchObject({ name: 'ConfigError', message });
  });

  it.skipIf(process.getuid?.() === 0)('a file that may not be read', async () => {
    chmodSync(join(bad, 'bad.yaml'), 0);
    await expect(readConfigFile('bad.yaml', bad)).rejects.toThrow('bad.yaml: permission denied');
  });
});

describe('which file is found', () => {
  it('the first of ts, mjs, js, json, yaml, yml', () => {
    const dir = folder({ 'tidegate.config.yml': '', 'tidegate.config.json': '', 'tidegate.yaml': '' });
    expect(findConfigFile(dir)).toBe(join(dir, 'tidegate.config.json'));
  });

  it('none when there is none', () => {
    expect(findConfigFile(folder({ 'tidegate.yaml': '' }))).toBeUndefined();
  });
});
