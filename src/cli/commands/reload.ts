import type { ReloadResult } from '../../admin/target.js';
import { type AdminOptions, findAdmin } from '../admin/address.js';
import { callAdmin } from '../admin/client.js';
import { print, printJson, tell } from '../output.js';

/** `tidegate reload`: has a running proxy read its configuration again. */
export async function reload(options: AdminOptions): Promise<number> {
  const contact = await findAdmin(options);
  const result = await callAdmin<ReloadResult>(contact, { method: 'POST', path: '/v1/reload' });
  if (options.json) {
    printJson(result);
    return 0;
  }
  for (const warning of result.warnings) tell(`warning: ${warning}`);
  print(
    result.changes.length === 0
      ? 'reloaded: nothing has changed'
      : ['reloaded', ...result.changes].join('\n  '),
  );
  return 0;
}
