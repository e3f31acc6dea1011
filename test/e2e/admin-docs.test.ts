/** docs/admin.md: every command is run as it stands, and every piece of JSON has the shape of what comes back. */
import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { adminErrors } from '../../src/admin/failure.js';
import type { ConnectionPage } from '../../src/admin/target.js';
import { Cli } from '../fixtures/cli.js';
import { needCommand } from '../fixtures/need.js';
import { connectWs, startWsServer } from '../fixtures/peers/ws.js';
import { running } from '../fixtures/running.js';

const top = fileURLToPath(new URL('../..', import.meta.url));
const text = readFileSync(join(top, 'docs', 'admin.md'), 'utf8');
const cwd = mkdtempSync(join(tmpdir(), 'tidegate-admin-docs-'));
afterAll(() => rmSync(cwd, { recursive: true }));

const curl = needCommand('curl');
const commands = blocks('sh').flatMap((block) => block.code.trim().split('\n'));

test('the page has commands of both kinds, and a row for every error', () => {
  expect(commands.filter((line) => line.startsWith('tidegate ')).length).toBeGreaterThan(4);
  expect(commands.filter((line) => line.startsWith('curl ')).length).toBeGreaterThan(3);
  for (const [code, status] of Object.entries(adminErrors)) {
    expect(text).toMatch(new RegExp(`^\\| ${status} +\\| \`${code}\``, 'm'));
  }
});

describe('on a proxy with the configuration of the page', () => {
  let address: string;
  let id: string;

  beforeEach(async () => {
    const backend = await running(startWsServer());
    const config = {
      listeners: ['127.0.0.1:0'],
      upstreams: { chat: backend.url },
      routes: [{ name: 'chat', to: 'chat' }],
      admin: '127.0.0.1:0',
    };
    writeFileSync(join(cwd, 'start.json'), JSON.stringify(config));
    const cli = await running(new Cli(['serve', '--config', 'start.json'], { cwd }));
    const url = await cli.url();
    const line = await cli.stderr.next((line) => line.startsWith('  admin API on '));
    address = line.slice('  admin API on '.length);
    // Where it really listens is what the commands find here.
    writeFileSync(join(cwd, 'tidegate.config.json'), JSON.stringify({ ...config, admin: address }));
    await running(connectWs(`${url}/chat`));
    await running(connectWs(`${url}/chat`));
    const page = (await (await fetch(`http://${address}/v1/connections`)).json()) as ConnectionPage;
    ({ id } = page.connections[0]!);
  });

  test.each(commands.filter((line) => line.startsWith('tidegate ')))('%s', async (line) => {
    const { code, stdout, stderr } = await shell(line);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).not.toBe('');
    if (line.includes('--json')) expect(() => JSON.parse(stdout) as unknown).not.toThrow();
  });

  test.skipIf(curl.missing).each(commands.filter((line) => line.startsWith('curl ')))('%s', async (line) => {
    const { code, stdout } = await shell(line);
    expect(code).toBe(0);
    const sample = sampleBehind(line);
    const answer = JSON.parse(stdout) as unknown;
    if (sample !== undefined) expect(shape(answer)).toEqual(shape(sample));
    else expect(answer).toMatchObject({ id });
  });

  /** Runs a line of the page: only the address of the example and the ID are replaced. */
  function shell(line: string): Promise<{ code: number; stdout: string; stderr: string }> {
    const bin = join(cwd, 'bin');
    mkdirSync(bin, { recursive: true });
    const program = join(bin, 'tidegate');
    writeFileSync(
      program,
      `#!/bin/sh\nexec "${process.execPath}" "${join(top, 'bin', 'tidegate.js')}" "$@"\n`,
    );
    chmodSync(program, 0o755);
    const env = { ...process.env, ID: id, PATH: `${bin}${delimiter}${process.env['PATH']}` };
    return new Promise((resolve) => {
      execFile(
        'sh',
        ['-c', line.replaceAll('127.0.0.1:9090', address)],
        { cwd, env },
        (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
      );
    });
  }
});

/** The JSON that the page shows behind a command; it follows the last command of its block. */
function sampleBehind(line: string): unknown {
  const all = [...blocks('sh'), ...blocks('json')].sort((a, b) => a.at - b.at);
  const at = all.findIndex(({ code }) => code.trim().split('\n').at(-1) === line);
  const next = all[at + 1];
  return at === -1 || next?.language !== 'json' ? undefined : JSON.parse(next.code);
}

/** Keys and types; counts by name (an outcome, a code, a class) are of any names. */
function shape(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shape);
  if (typeof value !== 'object' || value === null) return typeof value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, child]) => [key, countsByName.has(key) ? 'counts' : shape(child)]),
  );
}

const countsByName = new Set(['outcomes', 'refused', 'statuses', 'failed', 'engine']);

function blocks(language: string): { language: string; at: number; code: string }[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map((match) => ({
    language,
    at: match.index,
    code: match[1]!,
  }));
}
