import { parseAdminAddress } from '../../config/admin-address.js';
import { parseConfig } from '../../config/parse.js';
import { parseListenAddress } from '../../config/listen-address.js';
import type { ConfigInput } from '../../config/schema.js';
import { parseServerUrl } from '../../config/server-url.js';
import type { Parsed } from '../../config/leaf.js';
import { UsageError } from '../failure.js';
import { Log } from '../output.js';
import { run } from '../run.js';

export interface ProxyCommandOptions {
  readonly listen: readonly string[];
  readonly to: readonly string[];
  readonly admin?: string;
}

/** `tidegate proxy --listen [HOST:]PORT --to URL [--to URL …] [--admin ADDRESS]`: one route, no file, all defaults. */
export async function proxy(options: ProxyCommandOptions): Promise<number> {
  for (const text of options.listen) insist('--listen', parseListenAddress(text));
  for (const text of options.to) insist('--to', parseServerUrl(text));
  if (options.admin !== undefined) insist('--admin', parseAdminAddress(options.admin));
  const input: ConfigInput = {
    listeners: [...options.listen],
    routes: [{ to: [...options.to] }],
    ...(options.admin === undefined ? {} : { admin: options.admin }),
  };
  const config = parseConfig(input);
  return await run({ input, config, log: new Log(config.log.level) });
}

function insist(option: string, parsed: Parsed<unknown>): void {
  if (parsed.ok) return;
  const hint = parsed.suggestion === undefined ? '' : `; did you mean ${JSON.stringify(parsed.suggestion)}?`;
  throw new UsageError(`${option}: ${parsed.wrong}${hint}`);
}
