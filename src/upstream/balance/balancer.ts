import type { Random } from '../../base/deps.js';
import { ConsistentHash } from './consistent-hash.js';
import { LeastConnections } from './least-connections.js';
import { RandomTwo } from './random-two.js';
import { RoundRobin } from './round-robin.js';
import type { Balancer } from './types.js';

export type Balance = 'round-robin' | 'least-connections' | 'random-two' | 'hash';

export function makeBalancer(balance: Balance, random: Random): Balancer {
  switch (balance) {
    case 'round-robin':
      return new RoundRobin();
    case 'least-connections':
      return new LeastConnections();
    case 'random-two':
      return new RandomTwo(random);
    case 'hash':
      return new ConsistentHash();
  }
}
