import type { Random } from '../../base/deps.js';
import { type Balanced, type Balancer, cost, strength } from './types.js';

/**
 * Two servers drawn by strength, of which the less loaded is taken. Where several proxies share servers they do not all
 * run to the same one, as they would with least-connections.
 */
export class RandomTwo implements Balancer {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  pick<S extends Balanced>(servers: readonly S[]): S | undefined {
    const first = this.#draw(servers, undefined);
    const second = this.#draw(servers, first);
    if (first === undefined || second === undefined) return first;
    return cost(second) < cost(first) ? second : first;
  }

  #draw<S extends Balanced>(servers: readonly S[], without: S | undefined): S | undefined {
    let total = 0;
    for (const server of servers) if (server !== without) total += strength(server);
    let left = this.#random.float() * total;
    let last: S | undefined;
    for (const server of servers) {
      if (server === without) continue;
      last = server;
      left -= strength(server);
      if (left < 0) break;
    }
    return last;
  }
}
