/**
 * The cases of h2spec, by a client of our own that sends hand-made bytes: no client of HTTP/2 would let itself be made
 * to send them. Every case goes to Tidegate and to bare node:http2 with the same settings, in the same run: Tidegate
 * may fail none that Node passes.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Case } from '../fixtures/http2-cases/case.js';
import { connectionCases } from '../fixtures/http2-cases/connection.js';
import { frameCases } from '../fixtures/http2-cases/frames.js';
import { messageCases } from '../fixtures/http2-cases/messages.js';
import { streamCases } from '../fixtures/http2-cases/streams.js';
import { RawHttp2, type Verdict } from '../fixtures/http2-raw.js';
import { startHttp2Pair, type Http2Pair } from '../fixtures/http2-servers.js';

const cases: readonly Case[] = [...connectionCases, ...streamCases, ...frameCases, ...messageCases];

/** How long bare Node has for what is expected of it. A case that it fails costs so much, and as much again. */
const NODE_PATIENCE_MS = 2000;
/** How long Tidegate has for what Node has done. Never waited for when all is well. */
const PATIENCE_MS = 15_000;
/** A Node that fails more than so many would be no measure of anything. */
const MAX_FAILURES_OF_NODE = 10;

describe.each([
  ['by prior knowledge', false],
  ['over TLS', true],
])('%s', (how, isSecure) => {
  let pair: Http2Pair;
  const results: { readonly name: string; readonly node: Verdict; readonly tidegate: Verdict }[] = [];

  beforeAll(async () => {
    pair = await startHttp2Pair(isSecure);
  });
  afterAll(async () => {
    await pair?.stop();
    process.stdout.write(`${summary()}\n`);
  });

  test.concurrent.each(cases.map((one) => [`${one.section}: ${one.name}`, one] as const))(
    '%s',
    async (name, one) => {
      const node = await attempt(one, pair.nodePort, NODE_PATIENCE_MS);
      const tidegate = await attempt(one, pair.tidegatePort, node.passed ? PATIENCE_MS : NODE_PATIENCE_MS);
      results.push({ name, node, tidegate });
      if (node.passed) expect(tidegate).toMatchObject({ passed: true });
      // Where Node itself does not do as the RFC says, at least nothing else may come of it.
      else if (!tidegate.passed) expect(tidegate.outcome).toBe(node.outcome);
    },
  );

  test('bare Node is a measure', () => {
    expect(results).toHaveLength(cases.length);
    const failed = results.filter(({ node }) => !node.passed).map(({ name }) => name);
    expect(failed.slice(MAX_FAILURES_OF_NODE)).toEqual([]);
  });

  async function attempt(one: Case, port: number, patienceMs: number): Promise<Verdict> {
    const client = await RawHttp2.connect(port, isSecure, patienceMs);
    try {
      if (one.isBare !== true) await client.handshake();
      return await one.run(client);
    } finally {
      client.destroy();
    }
  }

  function summary(): string {
    const passed = (who: 'node' | 'tidegate'): number =>
      results.filter((result) => result[who].passed).length;
    const failed = results
      .filter(({ node, tidegate }) => !node.passed || !tidegate.passed)
      .map(({ name, node, tidegate }) => `\n  ${name}: Node ${told(node)}, Tidegate ${told(tidegate)}`);
    return `HTTP/2 ${how}: Tidegate does ${passed('tidegate')} of ${results.length} as the RFCs ask, Node ${process.version} alone ${passed('node')}.${failed.join('')}`;
  }
});

function told({ passed, outcome }: Verdict): string {
  return passed ? `passes (${outcome})` : `fails (${outcome})`;
}
