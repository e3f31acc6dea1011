import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

/**
 * The house, top floor first (ARCHITECTURE.md draws it). A file imports only from its own room and from floors below;
 * rooms on one floor do not know each other. When a better plan is found, change it here and there together.
 * `index` is src/index.ts, the public library.
 */
export const floors: readonly (readonly string[])[] = [
  ['cli'],
  ['index'],
  ['server'],
  ['admin'],
  ['session'],
  ['policy', 'gateway'],
  ['relay', 'route', 'upstream', 'channels'],
  ['net'],
  ['config', 'observe'],
  ['protocol'],
  ['base'],
];

/** Protocol cores take and return values: of Node they may use what computes and nothing that waits. */
const pureModules = new Set(['node:buffer', 'node:crypto', 'node:util', 'node:zlib']);
/** Names that a pure room may take from a module that is not pure: they are tables, not sockets. */
const pureNames: Readonly<Record<string, readonly string[]>> = { 'node:http': ['STATUS_CODES'] };
const timers = new Set(['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask']);

const root = fileURLToPath(new URL('..', import.meta.url));

it('every import goes downwards, and only cli prints or exits', () => {
  const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .map((path) => `src/${path.split(sep).join('/')}`)
    .filter((path) => path.endsWith('.ts'));
  expect(files.length).toBeGreaterThan(50);
  const found = files.flatMap((path) => violations(path, readFileSync(join(root, path), 'utf8')));
  expect(found).toEqual([]);
});

describe('the check itself', () => {
  it.each<[string, string, string]>([
    ['src/base/x.ts', `import { a } from '../net/y.js';`, 'base may not import from net, a floor above'],
    ['src/net/x.ts', `import type { A } from '../cli/y.js';`, 'net may not import from cli, a floor above'],
    [
      'src/net/x.ts',
      `import { type A } from '../session/y.js';`,
      'net may not import from session, a floor above',
    ],
    ['src/relay/a/x.ts', `import '../../route/y.js';`, 'relay may not import from route, on its own floor'],
    [
      'src/config/x.ts',
      `export * from '../observe/y.js';`,
      'config may not import from observe, on its own floor',
    ],
    [
      'src/base/x.ts',
      `export { a } from '../protocol/y.js';`,
      'base may not import from protocol, a floor above',
    ],
    [
      'src/base/x.ts',
      `const a = await import('../net/y.js');`,
      'base may not import from net, a floor above',
    ],
    ['src/base/x.ts', `type A = import('../net/y.js').A;`, 'base may not import from net, a floor above'],
    ['src/base/x.test.ts', `import { a } from '../net/y.js';`, 'base may not import from net, a floor above'],
    ['src/net/x.ts', `import { a } from '../index.js';`, 'net may not import from index, a floor above'],
    ['src/net/x.ts', `import { a } from 'tidegate';`, 'net may not import from index, a floor above'],
    ['src/attic/x.ts', `export {};`, 'attic is no room of the floor plan'],
    ['src/net/x.ts', `import { a } from '../attic/y.js';`, 'attic is no room of the floor plan'],
    ['src/net/x.ts', `import { a } from '../../test/y.js';`, 'only tests import from outside src/'],
    [
      'src/cli/x.test.ts',
      `import { a } from '../../scripts/y.js';`,
      'only tests import from outside src/, and then from test/',
    ],
    ['src/net/x.ts', `console.log(1);`, 'only cli prints or exits: console.log'],
    ['src/net/x.ts', `process.exit(1);`, 'only cli prints or exits: process.exit'],
    ['src/net/x.ts', `const out = process['stdout'];`, 'only cli prints or exits: process.stdout'],
    ['src/net/x.ts', `const { stderr: err } = process;`, 'only cli prints or exits: process.stderr'],
    ['src/net/x.ts', `globalThis.process.stderr.write('');`, 'only cli prints or exits: process.stderr'],
    ['src/net/x.ts', `import { exit } from 'node:process';`, 'only cli imports node:process'],
    ['src/protocol/x.ts', `import { connect } from 'node:net';`, 'protocol does no I/O: node:net'],
    ['src/protocol/x.ts', `import type { Duplex } from 'node:stream';`, 'protocol does no I/O: node:stream'],
    [
      'src/protocol/x.ts',
      `import { STATUS_CODES, request } from 'node:http';`,
      'protocol does no I/O: node:http',
    ],
    ['src/protocol/x.ts', `setTimeout(() => {}, 1);`, 'protocol has no timers: setTimeout'],
  ])('%s: %s', (path, text, rule) => {
    expect(violations(path, text)).toEqual([expect.stringContaining(rule)]);
  });

  it.each([
    ['src/cli/x.ts', `import { a } from '../base/y.js'; console.log(a); process.exit(0);`],
    ['src/index.ts', `export { a } from './server/y.js'; export * from './config/y.js';`],
    ['src/cli/x.ts', `import { a } from '../index.js'; import { b } from './sub/y.js';`],
    [
      'src/session/x.ts',
      `import { a } from './y.js'; import { b } from '../relay/y.js'; import net from 'node:net';`,
    ],
    ['src/base/x.test.ts', `import { a } from '../../test/fixtures/y.js'; console.log(a);`],
    ['src/protocol/a/x.ts', `import { a } from '../b/y.js'; import { createHash } from 'node:crypto';`],
    ['src/protocol/x.ts', `import { STATUS_CODES } from 'node:http'; import ipaddr from 'ipaddr.js';`],
    [
      'src/net/x.ts',
      `// console.log\nconst console2 = 'process.exit'; process.emitWarning(console2); this.console.log;`,
    ],
  ])('lets %s: %s', (path, text) => {
    expect(violations(path, text)).toEqual([]);
  });
});

/** What one file does against the plan, a line each: file, line, what, rule. */
function violations(path: string, text: string): string[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const room = roomOf(path);
  const isTest = path.endsWith('.test.ts');
  const found: string[] = [];
  const report = (node: ts.Node, rule: string) => {
    const { line } = source.getLineAndCharacterOfPosition(node.getStart());
    found.push(`${path}:${line + 1}: ${node.getText().split('\n')[0]}: ${rule}`);
  };

  if (floorOf(room) === undefined) found.push(`${path}: ${room} is no room of the floor plan`);
  visit(source, (node) => {
    const specifier = importedModule(node);
    if (specifier !== undefined) {
      const rule = importRule(path, room, isTest, specifier, node);
      if (rule !== undefined) report(node, rule);
    }
    if (isTest) return;
    const output = outputName(node);
    if (output !== undefined && room !== 'cli') report(node, `only cli prints or exits: ${output}`);
    if (room === 'protocol' && ts.isCallExpression(node) && timers.has(node.expression.getText())) {
      report(node, `protocol has no timers: ${node.expression.getText()}`);
    }
  });
  return found;
}

function importRule(
  path: string,
  room: string,
  isTest: boolean,
  specifier: string,
  node: ts.Node,
): string | undefined {
  if (specifier === 'tidegate') return roomRule(room, 'index');
  if (!specifier.startsWith('.')) {
    if (isTest) return undefined;
    if (/^(?:node:)?process$/.test(specifier) && room !== 'cli') return 'only cli imports node:process';
    if (room === 'protocol' && specifier.startsWith('node:') && !isPure(specifier, node)) {
      return `protocol does no I/O: ${specifier}`;
    }
    return undefined;
  }
  const target = normalize(join(dirname(path), specifier))
    .split(sep)
    .join('/');
  if (target.startsWith('src/')) return roomRule(room, roomOf(target));
  if (isTest && target.startsWith('test/')) return undefined;
  return 'only tests import from outside src/, and then from test/';
}

function roomRule(from: string, to: string): string | undefined {
  if (from === to) return undefined;
  const fromFloor = floorOf(from);
  const toFloor = floorOf(to);
  if (toFloor === undefined) return `${to} is no room of the floor plan`;
  if (fromFloor === undefined || fromFloor < toFloor) return undefined;
  return `${from} may not import from ${to}, ${fromFloor === toFloor ? 'on its own floor' : 'a floor above'}`;
}

/** `src/net/http1.ts` → `net`, `src/index.ts` → `index`. */
function roomOf(path: string): string {
  return relative('src', path)
    .split(/[\\/]/)[0]!
    .replace(/\.(?:ts|js)$/, '');
}

/** Counted from the top. */
function floorOf(room: string): number | undefined {
  const floor = floors.findIndex((rooms) => rooms.includes(room));
  return floor === -1 ? undefined : floor;
}

function isPure(specifier: string, node: ts.Node): boolean {
  if (pureModules.has(specifier)) return true;
  const allowed = pureNames[specifier];
  if (allowed === undefined || !ts.isImportDeclaration(node)) return false;
  const bindings = node.importClause?.namedBindings;
  if (bindings === undefined || !ts.isNamedImports(bindings) || node.importClause?.name !== undefined)
    return false;
  return bindings.elements.every(({ name, propertyName }) => allowed.includes((propertyName ?? name).text));
}

/** The module that a node imports, in whatever way: import, export from, import(), import('…').Type. */
function importedModule(node: ts.Node): string | undefined {
  let specifier: ts.Node | undefined;
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) specifier = node.moduleSpecifier;
  else if (ts.isImportTypeNode(node))
    specifier = ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined;
  else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    specifier = node.arguments[0];
  }
  return specifier !== undefined && ts.isStringLiteralLike(specifier) ? specifier.text : undefined;
}

/** `console.log`, `process.exit`, … if that is what the node reads. */
function outputName(node: ts.Node): string | undefined {
  if (ts.isPropertyAccessExpression(node)) return output(node.expression, node.name.text);
  if (ts.isElementAccessExpression(node) && ts.isStringLiteralLike(node.argumentExpression)) {
    return output(node.expression, node.argumentExpression.text);
  }
  if (ts.isBindingElement(node) && ts.isVariableDeclaration(node.parent.parent)) {
    const { initializer } = node.parent.parent;
    return initializer && output(initializer, (node.propertyName ?? node.name).getText());
  }
  return undefined;
}

function output(object: ts.Expression, property: string): string | undefined {
  const name = object.getText().replace(/^globalThis\./, '');
  if (name === 'console') return `console.${property}`;
  return name === 'process' && ['exit', 'stdout', 'stderr'].includes(property)
    ? `process.${property}`
    : undefined;
}

function visit(node: ts.Node, see: (node: ts.Node) => void): void {
  see(node);
  ts.forEachChild(node, (child) => visit(child, see));
}
