import { type Balanced, type Balancer, cost } from './types.js';

/** The server with the fewest live leases for its strength. Among equals they take turns. */
export class LeastConnections implements Balancer {
  #start = 0;

  pick<S extends Balanced>(servers: readonly S[]): S | undefined {
    const count = servers.length;
    if (count === 0) return undefined;
    const start = this.#start % count;
    this.#start = start + 1;
    let best = servers[start]!;
    let bestCost = cost(best);
    for (let i = 1; i < count; i++) {
      const server = servers[(start + i) % count]!;
      const serverCost = cost(server);
      if (serverCost >= bestCost) continue;
      best = server;
      bestCost = serverCost;
    }
    return best;
  }
}
