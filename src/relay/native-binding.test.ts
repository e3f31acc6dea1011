import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadNative } from './native-binding.js';

const folder = mkdtempSync(join(tmpdir(), 'tidegate-addon-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Loaded as the addon would be; what it exports is all that counts here. */
function fileWith(exported: string): string {
  const file = join(folder, `${exported.length}.cjs`);
  writeFileSync(file, `module.exports = ${exported};`);
  return file;
}

describe.runIf(process.platform === 'linux')('loadNative', () => {
  it('says where there is none, and where it cannot be loaded', () => {
    expect(loadNative(['/nowhere.node'])).toEqual({
      reason: 'it was not built (npm run build:native tells why)',
    });
    const broken = fileWith('{ this is no JavaScript }');
    expect(loadNative([broken])).toHaveProperty('reason', expect.stringMatching(/^it cannot be loaded: /));
  });

  it('refuses one that was built from older sources, and takes the next', () => {
    const old = fileWith('{ open() {} }');
    expect(loadNative([old])).toEqual({
      reason: 'it is of an older Tidegate (npm run build:native builds it anew)',
    });
    expect(loadNative([old, fileWith('{ sendToAll() {} }')])).toHaveProperty('binding');
  });
});
