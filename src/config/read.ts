import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, extname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ConfigError, type ConfigSource } from './issues.js';
import { show } from './leaf.js';
import { importTypeScript } from './read-typescript.js';
import { readYaml } from './read-yaml.js';

/** A configuration file that has been read, but not yet checked. */
export interface ConfigDocument {
  /** Absolute. */
  readonly file: string;
  /** The folder that relative file names in it start from. */
  readonly baseDir: string;
  readonly value: unknown;
  /** For `parseConfig`, so that errors name the place. */
  readonly source: ConfigSource;
}

/** The files that are looked for, in this order. */
export const configFileNames: readonly string[] = ['ts', 'mjs', 'js', 'json', 'yaml', 'yml'].map(
  (extension) => `tidegate.config.${extension}`,
);

/** The configuration file in a folder, the first that is there. */
export function findConfigFile(dir: string): string | undefined {
  return configFileNames.map((name) => join(dir, name)).find((file) => existsSync(file));
}

/**
 * Reads YAML, JSON, JavaScript or TypeScript, by the file's extension. The latter two are run; what they export by
 * default is the configuration.
 *
 * @param file absolute, or relative to `cwd`
 * @throws ConfigError when the file is missing or cannot be read
 */
export async function readConfigFile(file: string, cwd: string = process.cwd()): Promise<ConfigDocument> {
  const absolute = resolve(cwd, file);
  const shown = shorter(absolute, relative(cwd, absolute));
  return { file: absolute, baseDir: dirname(absolute), ...(await readByKind(absolute, shown)) };
}

async function readByKind(file: string, shown: string): Promise<{ value: unknown; source: ConfigSource }> {
  const text = await readText(file, shown);
  switch (extname(file)) {
    case '.yaml':
    case '.yml':
    case '.json':
      return readYaml(text, shown);
    case '.js':
    case '.mjs':
    case '.cjs':
      return { value: await run(file, shown, importJavaScript), source: { file: shown } };
    case '.ts':
    case '.mts':
    case '.cts':
      return { value: await run(file, shown, importTypeScript), source: { file: shown } };
    default:
      throw fault(
        shown,
        'cannot tell what this file is; expected a name that ends in .yaml, .yml, .json, .js, .mjs or .ts',
      );
  }
}

async function readText(file: string, shown: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    throw fault(shown, (code && reasons[code]) ?? message, { cause: thrown });
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'permission denied',
  EISDIR: 'is a folder; expected a file',
};

async function run(file: string, shown: string, load: (file: string) => Promise<unknown>): Promise<unknown> {
  try {
    const value = await load(file);
    if (value !== undefined) return value;
  } catch (thrown) {
    throw fault(`${shown}${placeOf(thrown, file)}`, describe(thrown), { cause: thrown });
  }
  throw fault(
    shown,
    'has no default export; expected `export default { … }` or `export default defineConfig({ … })`',
  );
}

/** Node runs a module once for each URL. What the file imports itself is not run again. */
async function importJavaScript(file: string): Promise<unknown> {
  const times = (timesRun.get(file) ?? 0) + 1;
  timesRun.set(file, times);
  delete createRequire(import.meta.url).cache[file];
  const query = times === 1 ? '' : `?run=${times}`;
  const module = (await import(`${pathToFileURL(file).href}${query}`)) as { default?: unknown };
  return module.default;
}

const timesRun = new Map<string, number>();

/** `:3:7` when it can be told where in the file it happened. */
function placeOf(thrown: unknown, file: string): string {
  const stack = thrown instanceof Error ? (thrown.stack ?? '').replaceAll(/\?run=\d+/g, '') : '';
  const place = placeIn(stack, file);
  if (place !== '' || !(thrown instanceof SyntaxError)) return place;
  // Node keeps the place of a syntax error in a module to itself, but for those who ask it to check.
  return placeIn(spawnSync(process.execPath, ['--check', file], { encoding: 'utf8' }).stderr, file);
}

function placeIn(text: string, file: string): string {
  const name = [pathToFileURL(file).href, file].find((name) => text.includes(`${name}:`));
  if (name === undefined) return '';
  return /^:\d+(?::\d+)?/.exec(text.slice(text.indexOf(`${name}:`) + name.length))?.[0] ?? '';
}

function describe(thrown: unknown): string {
  if (!(thrown instanceof Error)) return `threw ${show(thrown)}`;
  const [line] = `${thrown.name}: ${thrown.message}`.split('\n');
  // JavaScript resolves imports from where the file lies, and we may be installed elsewhere.
  const isUs = line!.startsWith("Error: Cannot find package 'tidegate'");
  return isUs ? `${line}; install it there, or export a plain object without defineConfig` : line!;
}

function fault(file: string, message: string, options?: ErrorOptions): ConfigError {
  return new ConfigError([{ path: '', file, message }], options);
}

function shorter(absolute: string, relative: string): string {
  return relative.startsWith('..') || relative === '' ? absolute : relative;
}
