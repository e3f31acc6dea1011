import { createRequire } from 'node:module';

/** What to do where an optional package is not there, in one line that goes on from who needs it; undefined: it is there. */
export function missingPackage(name: string): string | undefined {
  try {
    createRequire(import.meta.url).resolve(name);
    return undefined;
  } catch {
    return `needs the package ${name}, which is not installed; add it by \`npm install ${name}\``;
  }
}
