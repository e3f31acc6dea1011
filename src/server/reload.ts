import { ConfigError, placeFindings } from '../config/issues.js';
import { formatListenAddress, overlap } from '../config/listen-address.js';
import { ListenError } from '../net/unix-socket.js';
import type { Plan } from './compile.js';
import type { ListenFailure } from './listeners.js';

/** A plan with what only a restart can change as it was. */
export function withFixed(plan: Plan, before: Plan): Plan {
  const { relay, relayThreads, admin, publish, backplane, channels } = before;
  return Object.freeze({ ...plan, relay, relayThreads, admin, publish, backplane, channels });
}

/** A configuration whose listener cannot be opened cannot be used. */
export function cannotListen({ index, cause }: ListenFailure, plan: Plan, before: Plan): ConfigError {
  const { config, source } = plan;
  const { address } = config.listeners![index]!;
  const inTheWay = before.config.listeners?.find((other) => overlap(other.address, address));
  const why =
    inTheWay === undefined
      ? (cause as Error).message
      : `${formatListenAddress(inTheWay.address)} is in its way until it has been removed by a reload of its own`;
  const problem =
    cause instanceof ListenError ? cause.message : `cannot listen on ${formatListenAddress(address)}: ${why}`;
  return new ConfigError(placeFindings([{ path: ['listeners', index], message: problem }], source), {
    cause,
  });
}
