import { type Balanced, type Balancer, strength } from './types.js';

/**
 * Smooth weighted round-robin, as nginx has it: weights 5, 1, 1 give a a b a c a a, never five in a row. Each server’s
 * account grows by its strength; the richest pays for all.
 */
export class RoundRobin implements Balancer {
  pick<S extends Balanced>(servers: readonly S[]): S | undefined {
    let best: S | undefined;
    let total = 0;
    for (const server of servers) {
      const part = strength(server);
      total += part;
      server.turn += part;
      if (best === undefined || server.turn > best.turn) best = server;
    }
    if (best !== undefined) best.turn -= total;
    return best;
  }
}
