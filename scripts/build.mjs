/**
 * `npm run build`: src → dist. The compiler, then the files it does not know (pages, styles), and away with what has
 * no source any more, so that a removed module cannot linger in the published package.
 */

import { copyFileSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { at } from './lib/paths.mjs';
import { runNode } from './lib/run.mjs';

const { code } = await runNode([at('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.build.json']);
if (code !== 0) process.exit(code);

const produced = new Set();
for (const file of filesIn(at('src'))) {
  if (/\.test\.ts$|\.d\.ts$/.test(file)) continue;
  if (file.endsWith('.ts')) {
    const stem = file.slice(0, -'.ts'.length);
    for (const ending of ['.js', '.js.map', '.d.ts']) produced.add(stem + ending);
  } else {
    mkdirSync(dirname(at('dist', file)), { recursive: true });
    copyFileSync(at('src', file), at('dist', file));
    produced.add(file);
  }
}

for (const file of filesIn(at('dist'))) {
  if (!produced.has(file)) rmSync(at('dist', file));
}

// The native relay, where there is a compiler. Without one this says so, and all else works.
await runNode([at('native', 'install.mjs')]);

/** Every file below `folder`, as paths relative to it. */
function filesIn(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}
