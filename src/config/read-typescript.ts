import { defineConfig } from './schema.js';

/**
 * The default export of a TypeScript file. The one file that reaches for jiti, and only when it is needed.
 *
 * `import { defineConfig } from 'tidegate'` gives ours, so that it works beside a global installation too.
 */
export async function importTypeScript(file: string): Promise<unknown> {
  const { createJiti } = await import('jiti');
  const jiti = createJiti(import.meta.url, {
    fsCache: false,
    moduleCache: false,
    virtualModules: { tidegate: { defineConfig } },
  });
  return await jiti.import(file, { default: true });
}
