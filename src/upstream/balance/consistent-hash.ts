import { RoundRobin } from './round-robin.js';
import { type Balanced, type Balancer, strength } from './types.js';

/**
 * Weighted rendezvous hashing: every server draws a number from the key and its own id, and the best draw wins.
 *
 * Chosen over a ring or Maglev’s table because it needs no state: nothing to rebuild when servers come and go, weights
 * are exact, and who comes next is simply the next best draw, another one for each key, so that the clients of a dead
 * server spread over all others. Adding or removing one of n servers moves 1/n of the keys and no more; a server that
 * starts slowly takes its keys over a few at a time, each once. A pick looks at every server, as the other ways do.
 */
export class ConsistentHash implements Balancer {
  readonly #withoutKey = new RoundRobin();

  pick<S extends Balanced>(servers: readonly S[], key: string | undefined): S | undefined {
    if (key === undefined) return this.#withoutKey.pick(servers);
    const hash = hashText(key);
    let best: S | undefined;
    let bestDraw = Infinity;
    for (const server of servers) {
      const draw = drawFor(hash, server);
      if (best !== undefined && (draw > bestDraw || (draw === bestDraw && server.id > best.id))) continue;
      best = server;
      bestDraw = draw;
    }
    return best;
  }
}

/** A waiting time with the server’s strength as its rate: the chance to be the first is exactly that strength’s part. */
function drawFor(hash: number, server: Balanced): number {
  const uniform = (mix(Math.imul(server.seed, 0x9e3779b1) + hash) + 0.5) / 2 ** 32;
  return -Math.log(uniform) / strength(server);
}

/** 32 bits of a text (FNV-1a over its UTF-16 units, then mixed). Not for secrets. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return mix(hash);
}

/** MurmurHash3’s last step: every bit of the input turns half of the bits of the output. */
function mix(hash: number): number {
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
