import { formatIssue } from '../../config/issues.js';
import type { ConfigInput } from '../../config/schema.js';
import { loadConfig } from '../load.js';
import { Log } from '../output.js';
import { run } from '../run.js';

/** `tidegate serve [--config FILE]` */
export async function serve(options: { readonly config?: string }): Promise<number> {
  const loaded = await loadConfig(options.config);
  const { document, config, warnings } = loaded;
  const log = new Log(config.log.level);
  for (const warning of warnings) log.warn(formatIssue(warning));
  const input = document.value as ConfigInput;
  return await run({ input, config, loaded, log });
}
