import { describe, expect, it } from 'vitest';
import { systemRandom } from '../base/system.js';
import { Directory, nodeOf } from './directory.js';
import type { NodeQuestion, SessionAnswer, SessionRequest } from './types.js';

/** Directories of nodes that ask each other without a network; `deaf` ones do not answer. */
function cluster(...names: readonly string[]) {
  const deaf = new Set<string>();
  const directories = new Map<string, Directory>();
  const reach = (node: string): Directory => {
    const found = directories.get(node);
    if (found === undefined || deaf.has(node)) throw new Error(`node ${node} did not answer`);
    return found;
  };
  for (const node of names) {
    const backplane = {
      node,
      nodes: () => names.filter((name) => name !== node),
      ask: async (request: SessionRequest) => reach(nodeOf(request.id)).answer(request),
      query: async (to: string, question: NodeQuestion) =>
        JSON.parse(JSON.stringify(reach(to).answerQuery(question))) as unknown,
    };
    directories.set(node, new Directory(backplane, systemRandom));
  }
  return { deaf, at: (node: string) => directories.get(node)! };
}

function addTo(directory: Directory, name: string) {
  const said: unknown[] = [];
  const answer: SessionAnswer = { ok: true };
  const session = {
    id: directory.newId(),
    said,
    send: (type: string, content: Buffer) => (said.push([type, content.toString()]), answer),
    close: (code: number | undefined, reason: string) => (said.push([code, reason]), answer),
    info: () => ({ name }),
  };
  directory.add(session);
  return session;
}

describe('one session', () => {
  it('has an id that names its node', () => {
    const directory = cluster('n1').at('n1');
    const id = directory.newId();
    expect(id).toMatch(/^n1\.[\w-]{22}$/);
    expect(nodeOf(id)).toBe('n1');
    expect([nodeOf('nothing'), nodeOf('')]).toEqual(['', '']);
  });

  it.each(['n1', 'n2'])('is reached from %s', async (from) => {
    const { at } = cluster('n1', 'n2');
    const session = addTo(at('n1'), 'x');
    const content = Buffer.from('hello');
    const { id } = session;
    expect(await at(from).ask({ id, what: 'send', type: 'text', content })).toEqual({ ok: true });
    expect(await at(from).ask({ id, what: 'close', code: 4000, reason: 'bye' })).toEqual({ ok: true });
    expect(await at(from).ask({ id, what: 'info' })).toEqual({ ok: true, info: { name: 'x' } });
    expect(session.said).toEqual([
      ['text', 'hello'],
      [4000, 'bye'],
    ]);
    at('n1').remove(id);
    expect(await at(from).ask({ id, what: 'info' })).toBeUndefined();
  });
});

describe('all sessions', () => {
  async function pages(directory: Directory, limit: number) {
    const names: unknown[][] = [];
    let after: string | undefined;
    do {
      const page = await directory.page(limit, after);
      names.push(page.sessions.map(({ name }) => name));
      after = page.next;
    } while (after !== undefined);
    return names;
  }

  it('are listed in pages over all nodes', async () => {
    const { at } = cluster('n2', 'n1');
    for (const name of ['a', 'b', 'c']) addTo(at('n1'), name);
    for (const name of ['d', 'e']) addTo(at('n2'), name);
    for (const from of ['n1', 'n2']) {
      expect(await pages(at(from), 2)).toEqual([['a', 'b'], ['c', 'd'], ['e']]);
      expect(await pages(at(from), 5)).toEqual([['a', 'b', 'c', 'd', 'e']]);
      expect(await at(from).count()).toEqual({ sessions: 5, missing: [] });
    }
  });

  it('go on in the right place when the last one seen has gone', async () => {
    const { at } = cluster('n1');
    const [, b] = ['a', 'b', 'c'].map((name) => addTo(at('n1'), name));
    const first = await at('n1').page(2);
    at('n1').remove(b!.id);
    const second = await at('n1').page(2, first.next);
    expect(second.sessions.map(({ name }) => name)).toEqual(['c']);
    expect(second.next).toBeUndefined();
  });

  it('are listed without those of a node that does not answer, which is named', async () => {
    const { at, deaf } = cluster('n1', 'n2', 'n3');
    for (const node of ['n1', 'n2', 'n3']) addTo(at(node), node);
    deaf.add('n2');
    const page = await at('n1').page(10);
    expect(page.sessions.map(({ name }) => name)).toEqual(['n1', 'n3']);
    expect(page.missing).toEqual(['n2']);
    expect(await at('n1').count()).toEqual({ sessions: 2, missing: ['n2'] });
  });

  it('begin at the beginning where the cursor is none', async () => {
    const { at } = cluster('n1');
    addTo(at('n1'), 'a');
    expect((await at('n1').page(10, 'no cursor')).sessions).toHaveLength(1);
  });
});
