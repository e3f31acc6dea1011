import { ConfigError, placeFindings } from '../config/issues.js';
import { formatListenAddress, overlap } from '../config/listen-address.js';
import { ListenError } from '../net/unix-socket.js';
import type { Plan } from './compile.js';
import type { ListenFailure } from './listeners.js';

/** A plan with what only a restart can change as it was. */
export function withFixed(plan: Plan, before: Plan): Plan {
  const { relay, relayThreads, admin, backplane, channels } = before;
  const publish = publishAfter(before, plan);
  return Object.freeze({ ...plan, relay, relayThreads, admin, publish, backplane, channels });
}

/** Who may publish can change at any time, where and with which other limits cannot. */
export function publishAfter(before: Plan, { publish }: Plan): Plan['publish'] {
  if (before.publish === undefined || publish === undefined) return before.publish;
  const { auth, maxBodyBytes } = publish;
  return Object.freeze({ ...before.publish, auth, maxBodyBytes });
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
