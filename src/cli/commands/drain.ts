import type { DrainProgress } from '../../admin/target.js';
import { type AdminOptions, findAdmin } from '../admin/address.js';
import { callAdmin } from '../admin/client.js';
import { readCloseFrame } from '../admin/close-frame.js';
import { readDuration } from '../numbers.js';
import { print, printJson } from '../output.js';

const MAX_DURATION_MS = 24 * 86_400_000;

export interface DrainCommandOptions extends AdminOptions {
  readonly timeout?: string;
  readonly spread?: string;
  readonly code?: string;
  readonly reason?: string;
}

/** `tidegate drain`: lets go of every session. */
export async function drain(options: DrainCommandOptions): Promise<number> {
  const { timeout, spread } = options;
  const body = {
    ...readCloseFrame(options),
    ...(timeout === undefined ? {} : { timeoutMs: readDuration('--timeout', timeout, MAX_DURATION_MS) }),
    ...(spread === undefined ? {} : { spreadMs: readDuration('--spread', spread, MAX_DURATION_MS) }),
  };
  const contact = await findAdmin(options);
  const progress = await callAdmin<DrainProgress>(contact, { method: 'POST', body, path: '/v1/drain' });
  if (options.json) printJson(progress);
  else print(describe(progress));
  return 0;
}

function describe({ state, sessions, requests, deadline }: DrainProgress): string {
  const cut = deadline === undefined ? '' : `; what is left is cut at ${deadline}`;
  const { open, told, waiting, untold } = sessions;
  const how =
    told === undefined
      ? ''
      : ` (${told} told to close, ${waiting} to be told, ${untold} without a Close frame)`;
  return `${state}: ${count(open, 'session')} open${how}, ${count(requests.active, 'request')} active${cut}`;
}

function count(n: number, thing: string): string {
  return `${n} ${thing}${n === 1 ? '' : 's'}`;
}
