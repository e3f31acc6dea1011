/**
 * Looks at the package as npm would publish it: nothing missing, nothing that belongs to development, and no import
 * of something that its user will not have.
 */

import { readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import typescript from 'typescript';
import { at } from './lib/paths.mjs';
import { runNpm } from './lib/run.mjs';

const manifest = JSON.parse(readFileSync(at('package.json'), 'utf8'));
const { code, stdout } = await runNpm(
  ['pack', '--dry-run', '--json', '--ignore-scripts', '--loglevel=error'],
  {
    capture: true,
  },
);
if (code !== 0) process.exit(code);

const [{ files: packed, size }] = Object.values(JSON.parse(stdout));
const files = packed.map((file) => file.path);
const problems = [...missing(), ...unwanted(), ...undeclaredImports()];
problems.forEach((problem) => console.error(problem));
if (problems.length === 0) console.log(`${files.length} files, ${Math.round(size / 1024)} KiB packed`);
process.exitCode = problems.length === 0 ? 0 : 1;

function missing() {
  const required = [
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    manifest.bin.tidegate,
    'dist/index.js',
    'dist/index.d.ts',
    'packaging/systemd/tidegate.service',
  ];
  return required.filter((file) => !files.includes(file)).map((file) => `${file}: not in the package`);
}

function unwanted() {
  const development = /^(src|test|scripts|examples|bench)\/|\.test\.|tsconfig|^\./;
  return files
    .filter((file) => development.test(file))
    .map((file) => `${file}: does not belong in the package`);
}

/** Imports of packages that are not among the dependencies: here they resolve, at the user's they do not. */
function undeclaredImports() {
  const declared = Object.keys({
    ...manifest.dependencies,
    ...manifest.optionalDependencies,
    ...manifest.peerDependencies,
  });
  const scripts = files.filter((file) => /^(dist|bin)\/.*\.js$/.test(file));
  return scripts.flatMap((file) =>
    importsOf(readFileSync(at(file), 'utf8'))
      .filter((name) => !declared.includes(name))
      .map((name) => `${file}: imports ${name}, which is not in "dependencies"`),
  );
}

/** The packages that a module imports: `x` of `x/y`, `@a/x` of `@a/x/y`. */
function importsOf(text) {
  return typescript
    .preProcessFile(text)
    .importedFiles.map(({ fileName }) => fileName)
    .filter((name) => !name.startsWith('.') && !name.startsWith('node:') && !builtinModules.includes(name))
    .map((name) => name.split('/', name.startsWith('@') ? 2 : 1).join('/'));
}
