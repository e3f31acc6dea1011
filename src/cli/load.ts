import { relative } from 'node:path';
import type { ConfigIssue } from '../config/issues.js';
import { parseConfig } from '../config/parse.js';
import { configFileNames, findConfigFile, readConfigFile, type ConfigDocument } from '../config/read.js';
import type { Config } from '../config/schema.js';
import { findWarnings } from '../config/warnings.js';
import { compile, type Plan } from '../server/compile.js';
import { UsageError } from './failure.js';

export interface LoadedConfig {
  readonly document: ConfigDocument;
  readonly config: Config;
  readonly plan: Plan;
  readonly warnings: readonly ConfigIssue[];
  /** The file as the user knows it. */
  readonly shown: string;
}

/**
 * Finds, reads and checks a configuration file, down to the files that it names.
 *
 * @throws UsageError when there is none, ConfigError when it cannot be used
 */
export async function loadConfig(file: string | undefined): Promise<LoadedConfig> {
  const cwd = process.cwd();
  const document = await readConfigFile(file ?? find(cwd), cwd);
  const config = parseConfig(document.value, document.source, { needsListeners: true });
  const plan = compile(config, document.baseDir, document.source);
  const shown = document.source.file ?? relative(cwd, document.file);
  const warnings = [...findWarnings(config, document.source), ...plan.warnings];
  return { document, config, plan, warnings, shown };
}

function find(cwd: string): string {
  const found = findConfigFile(cwd);
  if (found !== undefined) return found;
  const [first, ...others] = configFileNames;
  throw new UsageError(
    `no configuration in ${cwd}: expected ${first} (or ${others.map((name) => name.replace(/^.*\./, '.')).join(', ')}), ` +
      'or name one with --config FILE',
  );
}
