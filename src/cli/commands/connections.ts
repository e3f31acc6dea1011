import { MAX_PAGE } from '../../admin/input.js';
import type { Connection, ConnectionPage } from '../../admin/target.js';
import { type AdminContact, type AdminOptions, findAdmin } from '../admin/address.js';
import { callAdmin } from '../admin/client.js';
import { connectionsPage } from '../admin/connections-page.js';
import { readCount } from '../numbers.js';
import { hasColor, print, printJson } from '../output.js';

const DEFAULT_LIMIT = 100;

export interface ConnectionsOptions extends AdminOptions {
  readonly route?: string;
  readonly client?: string;
  readonly upstream?: string;
  readonly limit?: string;
}

/** `tidegate connections`: the open sessions, oldest first. */
export async function connections(options: ConnectionsOptions): Promise<number> {
  const limit = options.limit === undefined ? DEFAULT_LIMIT : readCount('--limit', options.limit);
  const contact = await findAdmin(options);
  const page = await readPages(contact, options, limit);
  if (options.json) printJson(page);
  else print(connectionsPage(page, { color: hasColor() }));
  return 0;
}

/** As many pages as the limit needs, as one. */
async function readPages(
  contact: AdminContact,
  { route, client, upstream }: ConnectionsOptions,
  limit: number,
): Promise<ConnectionPage> {
  const read: Connection[] = [];
  let after: number | undefined;
  for (;;) {
    const query = new URLSearchParams({ limit: String(Math.min(MAX_PAGE, limit - read.length)) });
    for (const [name, value] of Object.entries({ route, client, upstream, after })) {
      if (value !== undefined) query.set(name, String(value));
    }
    const path = `/v1/connections?${query.toString()}`;
    const page: ConnectionPage = await callAdmin(contact, { method: 'GET', path });
    read.push(...page.connections);
    after = page.next;
    if (after === undefined || read.length >= limit) return { ...page, connections: read };
  }
}
