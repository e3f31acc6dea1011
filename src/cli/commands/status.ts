import type { Status } from '../../admin/target.js';
import { type AdminOptions, findAdmin } from '../admin/address.js';
import { callAdmin } from '../admin/client.js';
import { statusPage } from '../admin/status-page.js';
import { hasColor, print, printJson } from '../output.js';

/** `tidegate status`: what a running proxy does. */
export async function status(options: AdminOptions): Promise<number> {
  const contact = await findAdmin(options);
  const found = await callAdmin<Status>(contact, { method: 'GET', path: '/v1/status' });
  if (options.json) printJson(found);
  else print(statusPage(found, { color: hasColor() }));
  return 0;
}
