import { fileURLToPath } from 'node:url';

/** The default export of a TypeScript file. The one file that reaches for jiti, and only when it is needed. */
export async function importTypeScript(file: string): Promise<unknown> {
  const { createJiti } = await import('jiti');
  const jiti = createJiti(import.meta.url, {
    fsCache: false,
    moduleCache: false,
    alias: { tidegate: self() },
  });
  return await jiti.import(file, { default: true });
}

/** Our own entry, so that `import { defineConfig } from 'tidegate'` works beside a global installation too. */
function self(): string {
  return fileURLToPath(new URL('../index.js', import.meta.url));
}
