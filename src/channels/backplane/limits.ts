/** What nodes agree on, whatever they hear of each other through. */
export interface NodeLimits {
  /** What all names on the server begin with, so that several can share one: letters, digits, dots. */
  readonly prefix: string;
  readonly connectTimeoutMs: number;
  /** How long another node has to answer. */
  readonly askTimeoutMs: number;
  /** Between a node’s signs of life. */
  readonly beatMs: number;
  /** Silent for so long, a node is lost, and its sessions with it. */
  readonly lostAfterMs: number;
}

export const nodeDefaults: NodeLimits = {
  prefix: 'tidegate',
  connectTimeoutMs: 5_000,
  askTimeoutMs: 5_000,
  beatMs: 2_000,
  lostAfterMs: 10_000,
};
