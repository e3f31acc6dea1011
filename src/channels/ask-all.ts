import type { Backplane, NodeQuestion } from './types.js';

/** Asks all other nodes at once. Who does not answer is named and left out. An answer is what that node’s `answerQuery` said. */
export async function askAll(
  backplane: Pick<Backplane, 'nodes' | 'query'>,
  question: NodeQuestion,
): Promise<{ readonly answers: readonly unknown[]; readonly missing: readonly string[] }> {
  const nodes = backplane.nodes();
  const settled = await Promise.allSettled(nodes.map((node) => backplane.query(node, question)));
  const answers: unknown[] = [];
  const missing: string[] = [];
  for (const [i, answer] of settled.entries()) {
    if (answer.status === 'fulfilled') answers.push(answer.value);
    else missing.push(nodes[i]!);
  }
  return { answers, missing };
}
