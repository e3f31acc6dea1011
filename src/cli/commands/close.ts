import type { CloseResult } from '../../admin/target.js';
import { type AdminOptions, findAdmin } from '../admin/address.js';
import { callAdmin } from '../admin/client.js';
import { readCloseFrame } from '../admin/close-frame.js';
import { UsageError } from '../failure.js';
import { readDuration } from '../numbers.js';
import { print, printJson } from '../output.js';

const DEFAULT_TIMEOUT = '5s';
const MAX_TIMEOUT_MS = 60_000;

export interface CloseOptions extends AdminOptions {
  readonly code?: string;
  readonly reason?: string;
  readonly timeout?: string;
}

/** `tidegate close ID`: sends one client a Close frame and waits for the end. */
export async function close(id: string, options: CloseOptions): Promise<number> {
  if (!/^[\w-]+$/.test(id)) {
    throw new UsageError(
      `expected the ID of a connection, as \`tidegate connections\` shows it, found ${JSON.stringify(id)}`,
    );
  }
  const timeoutMs = readDuration('--timeout', options.timeout ?? DEFAULT_TIMEOUT, MAX_TIMEOUT_MS);
  const body = { ...readCloseFrame(options), timeoutMs };
  const contact = await findAdmin(options);
  const path = `/v1/connections/${id}/close`;
  const result = await callAdmin<CloseResult>(contact, { method: 'POST', path, body, workMs: timeoutMs });
  if (options.json) printJson(result);
  else print(result.ended === 'closed' ? `${id} closed` : `${id} cut: it did not take part in the close`);
  return 0;
}
