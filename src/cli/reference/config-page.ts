import { objectsIn, outline, type Outline } from '../../config/outline.js';

/** docs/reference/config.md, from the schema: every key with its type, its default and its meaning. */
export function configPage(): string {
  const root = outline();
  const sections = Object.entries(root.properties ?? {}).filter(([, node]) => hasKeys(node));
  return [
    intro,
    '## The top level\n',
    table(root, ''),
    ...sections.flatMap(([key, node]) => section(node, key)),
  ].join('\n');
}

const intro = `<!-- Written by \`npm run docs\` from src/config; change it there. -->

# Configuration

\`tidegate serve\` and \`tidegate check\` read the file that \`--config\` names, or else the first of
\`tidegate.config.ts\`, \`.mjs\`, \`.js\`, \`.json\`, \`.yaml\` and \`.yml\` in the working directory. All formats have the same
shape. YAML anchors, aliases and merge keys (\`<<\`) work. JavaScript and TypeScript files export the configuration by
default; \`defineConfig\` from \`tidegate\` gives it its type:

\`\`\`ts
import { defineConfig } from 'tidegate';

export default defineConfig({
  listeners: [8080],
  routes: [{ to: 'http://127.0.0.1:3000' }],
});
\`\`\`

\`tidegate check\` prints what was understood, defaults included. A configuration that cannot be used is reported with
everything that is wrong with it, each with file, line and column (YAML and JSON), and the exit code is 2. Keys that
are not on this page are errors. Routes that are never reached and upstreams that nobody uses are warnings.

**Durations** are a number and \`ms\`, \`s\`, \`m\`, \`h\` or \`d\`: \`250ms\`, \`30s\`, \`1.5h\`; at most \`24d\`. Where it says
"or never", \`never\` or \`0\` switches the limit off. **Sizes** are a number and \`B\`, \`KiB\`, \`MiB\` or \`GiB\`, or a plain
number of bytes. Relative file names start from the folder of the configuration file.

A whole one:

\`\`\`yaml
listeners:
  - address: 0.0.0.0:8080
upstreams:
  chat:
    servers: [http://127.0.0.1:3001, unix:/run/chat.sock]
routes:
  - match: { host: chat.example.com, path: /socket.io/* }
    to: chat
    websocket: { idleTimeout: 10m }
  - to: http://127.0.0.1:3000
accessLog: { format: json }
drain: { timeout: 10s }
\`\`\`
`;

/** A heading, what it is, an example, its keys; then the sections within it. */
function section(node: Outline, path: string): string[] {
  const place = pathOfObject(node, path);
  const object = objectOf(node)!;
  const inner = Object.entries(object.properties ?? {}).filter(([, child]) => hasKeys(child));
  return [
    `## \`${place}\`\n`,
    `${node.description ?? ''}\n`,
    ...(node.example === undefined ? [] : [`\`\`\`yaml\n${node.example}\n\`\`\`\n`]),
    table(object, place),
    ...inner.flatMap(([key, child]) => section(child, `${place}.${key}`)),
  ];
}

function table(object: Outline, place: string): string {
  const rows = Object.entries(object.properties ?? {}).map(([key, node]) => {
    const isRequired = object.required?.includes(key) ?? false;
    const name = hasKeys(node)
      ? `[\`${key}\`](#${anchor(pathOfObject(node, join(place, key)))})`
      : `\`${key}\``;
    return `| ${name} | ${typeOf(node)} | ${isRequired ? 'required' : defaultOf(node)} | ${node.description ?? ''} |`;
  });
  return ['| Key | Type | Default | Meaning |', '| --- | --- | --- | --- |', ...rows, ''].join('\n');
}

function typeOf(node: Outline): string {
  if (node.enum !== undefined) return node.enum.map((value) => `\`${String(value)}\``).join(', ');
  if (node.const !== undefined) return `\`${String(node.const)}\``;
  if (node.type === 'boolean') return '`true` or `false`';
  if (node.type === 'integer') return `whole number from ${node.minimum} to ${node.maximum}`;
  return (node.label ?? String(node.type)).replace(/^an? /, '').replace(/ such as [^,]+/, '');
}

function defaultOf(node: Outline): string {
  const value = node.default;
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return 'none';
  if (typeof value === 'object') return node.additionalProperties ? 'none' : 'as below';
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

/** The object behind a list, a record or a choice: what its keys are described under. */
function objectOf(node: Outline): Outline | undefined {
  if (node.items !== undefined) return objectOf(node.items);
  if (node.additionalProperties) return objectOf(node.additionalProperties);
  return objectsIn(node)[0];
}

function hasKeys(node: Outline): boolean {
  // A server is an object with one key; its list is told in its own row.
  const object = objectOf(node);
  return object !== undefined && Object.keys(object.properties ?? {}).join() !== 'url';
}

function pathOfObject(node: Outline, path: string): string {
  if (node.items !== undefined) return `${path}[]`;
  return node.additionalProperties ? `${path}.*` : path;
}

function join(place: string, key: string): string {
  return place === '' ? key : `${place}.${key}`;
}

/** The way GitHub makes anchors of headings. */
function anchor(heading: string): string {
  return heading.toLowerCase().replaceAll(/[^a-z0-9_-]/g, '');
}
