/**
 * `npm run docs`, after `npm run build`: writes the reference pages that come from the code. A test fails when they
 * are out of date.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { at } from './lib/paths.mjs';

const { configPage } = await import('../dist/cli/reference/config-page.js');
const { errorsPage } = await import('../dist/cli/reference/errors-page.js');

const pages = { 'config.md': configPage(), 'errors.md': errorsPage() };
mkdirSync(at('docs', 'reference'), { recursive: true });
for (const [name, text] of Object.entries(pages)) {
  writeFileSync(at('docs', 'reference', name), text);
  console.log(`docs/reference/${name}`);
}
