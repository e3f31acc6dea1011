/**
 * The real h2spec, where there is one: it is neither in npm nor in Debian, so nobody has to have it. It may find nothing
 * at Tidegate that it does not find at bare node:http2. `http2-conformance.test.ts` does the same without it.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startHttp2Pair } from '../fixtures/http2-servers.js';
import { likeCommand } from '../fixtures/need.js';
import { running } from '../fixtures/running.js';

const h2spec = likeCommand('h2spec', 'H2SPEC', 'https://github.com/summerwind/h2spec');

describe.skipIf(h2spec.missing)(`h2spec${h2spec.note}`, () => {
  test.each([
    ['by prior knowledge', false],
    ['over TLS', true],
  ])('%s', { timeout: 20 * 60_000 }, async (_, isSecure) => {
    const pair = await running(startHttp2Pair(isSecure));
    const atNode = await findings(pair.nodePort, isSecure);
    const atTidegate = await findings(pair.tidegatePort, isSecure);
    expect(atTidegate.filter((finding) => !atNode.includes(finding))).toEqual([]);
  });
});

/** The cases that have failed, `section: what it does`. */
async function findings(port: number, isSecure: boolean): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'h2spec-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'report.xml');
  const address = [
    '--host',
    '127.0.0.1',
    '--port',
    String(port),
    ...(isSecure ? ['--tls', '--insecure'] : []),
  ];
  const child = spawn(h2spec.path!, [...address, '--strict', '--junit-report', file], { stdio: 'ignore' });
  await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const cases = readFileSync(file, 'utf8').split('<testcase ').slice(1);
  // A report without cases would be one without findings.
  expect(cases.length).toBeGreaterThan(100);
  return cases
    .filter((text) => /<(?:failure|error)>/.test(text))
    .map((text) => `${attribute(text, 'package')}: ${attribute(text, 'classname')}`);
}

function attribute(text: string, name: string): string {
  return new RegExp(`${name}="([^"]*)"`).exec(text)?.[1] ?? '';
}
