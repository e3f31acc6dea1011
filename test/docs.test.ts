import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { configPage } from '../src/cli/reference/config-page.js';
import { errorsPage } from '../src/cli/reference/errors-page.js';
import { parseConfig } from '../src/config/parse.js';
import { readYaml } from '../src/config/read-yaml.js';

const root = fileURLToPath(new URL('..', import.meta.url));

describe('reference pages are what the code says (npm run docs)', () => {
  it.each([
    ['docs/reference/config.md', configPage],
    ['docs/reference/errors.md', errorsPage],
  ])('%s', (file, generate) => {
    expect(readFileSync(join(root, file), 'utf8')).toBe(generate());
  });
});

describe('YAML in the documents is a configuration that works', () => {
  const blocks = documents().flatMap(yamlBlocks);

  it('is there at all', () => {
    expect(blocks.filter(({ text }) => text.includes('routes:')).length).toBeGreaterThan(3);
  });

  it.each(blocks)('$file:$line', ({ file, line, text }) => {
    const { value, source } = readYaml(text, `${file}, block at line ${line}`);
    expect(() => parseConfig(completed(value), source)).not.toThrow();
  });
});

/** Pieces without routes are shown one section at a time. */
function completed(value: unknown): unknown {
  const isPiece = typeof value === 'object' && value !== null && !('routes' in value);
  return isPiece ? { ...value, routes: [{ to: 'http://127.0.0.1:3000' }] } : value;
}

function documents(): string[] {
  const docs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' });
  return ['README.md', ...docs.map((name) => join('docs', name))].filter(
    (file) => file.endsWith('.md') && existsSync(join(root, file)),
  );
}

interface Block {
  readonly file: string;
  readonly line: number;
  readonly text: string;
}

/** Blocks of YAML that are Tidegate's: with routes, or with another of its sections at the top. */
function yamlBlocks(file: string): Block[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/^```ya?ml\n([\s\S]*?)^```$/gm)]
    .map((match) => ({ file, line: text.slice(0, match.index).split('\n').length, text: match[1]! }))
    .filter((block) =>
      /^(?:listeners|upstreams|routes|admin|publish|backplane|accessLog|log|limits|drain|reload|relay):/m.test(
        block.text,
      ),
    );
}
