import { formatIssue } from '../../config/issues.js';
import { explainConfig } from '../explain.js';
import { loadConfig } from '../load.js';
import { print, tell } from '../output.js';

/** `tidegate check [--config FILE]`: says what was understood; nothing is started. */
export async function check(options: { readonly config?: string }): Promise<number> {
  const { config, warnings, shown } = await loadConfig(options.config);
  for (const warning of warnings) tell(`warning: ${formatIssue(warning)}`);
  print(
    `${shown} is fine${warnings.length === 0 ? '' : ', but see the warnings'}\n\n${explainConfig(config)}`,
  );
  return 0;
}
