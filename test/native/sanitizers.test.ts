/** The engine in C, built with sanitizers: any undefined behaviour, bad access, leak or data race ends a program. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadNative } from '../../src/relay/native-binding.js';
import { needCommand } from '../fixtures/need.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const gcc = needCommand('gcc');
const native = loadNative();
/** Headers of any Node do: the addon keeps to one version of Node-API. */
const include = [dirname(dirname(realpathSync(process.execPath))), '/usr', '/usr/local']
  .map((prefix) => join(prefix, 'include', 'node'))
  .find((folder) => existsSync(join(folder, 'node_api.h')));
const noAddon = 'reason' in native || include === undefined;
const why = 'reason' in native ? native.reason : 'Node’s headers were not found';

const strict = ['-std=c11', '-g', '-O1', '-Wall', '-Wextra', '-Werror', '-pthread'];
const address = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-fno-omit-frame-pointer'];
const thread = ['-fsanitize=thread'];
/** As in binding.gyp: Node has names of its own. */
const hidden = ['-fvisibility=hidden'];
const sources = readdirSync(join(root, 'native', 'src'))
  .filter((name) => name.endsWith('.c'))
  .map((name) => join('native', 'src', name));
const withoutNode = sources.filter((name) => !/addon\w*\.c$/.test(name));

/** Sanitizers make everything slower, and this machine may be busy. */
const PATIENCE_MS = 120_000;

describe.skipIf(gcc.missing)(`the engine in C under sanitizers${gcc.note}`, { timeout: PATIENCE_MS }, () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'tidegate-native-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const build = (name: string, flags: readonly string[], files: readonly string[]): string => {
    const program = join(folder, name);
    const { status, stderr } = run(gcc.path!, [...strict, ...flags, ...files, '-o', program]);
    expect([status, stderr]).toEqual([0, '']);
    return program;
  };

  test('10,000 random tunnels: no bad access, nothing leaked, no descriptor left or closed twice', () => {
    const program = build('relay-address', address, ['native/test/relay_test.c', ...withoutNode]);
    expect(run(program, ['10000', '2', '7'])).toEqual(success('10000 tunnels, all told of\n'));
  });

  test('random tunnels on three threads: no data race', () => {
    const program = build('relay-thread', thread, ['native/test/relay_test.c', ...withoutNode]);
    expect(run(program, ['2000', '3', '11'])).toEqual(success('2000 tunnels, all told of\n'));
  });

  test('3,000 random visits at a door: every one ends once, and nothing is left of them', () => {
    const program = build('door', address, ['native/test/door_test.c', ...withoutNode]);
    const { status, stdout, stderr } = run(program, ['3000', '7']);
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^\d+ visits, all ended once\n$/);
  });

  test('2,000 random fan-outs: what each socket took is what was told of it', () => {
    const program = build('fan-out', address, ['native/test/fan_out_test.c', 'native/src/fan_out.c']);
    expect(run(program, ['2000', '7'])).toEqual(success('2000 rounds: all that was sent was told\n'));
  });

  test('hostile bytes for the scanner', () => {
    const program = build('scanner', address, ['native/test/scanner_fuzz.c', 'native/src/scanner.c']);
    const { status, stdout, stderr } = run(program, ['3', '2010']);
    expect([status, stderr]).toEqual([0, '']);
    expect(Number.parseInt(stdout)).toBeGreaterThan(100);
  });

  test.skipIf(noAddon)(`the addon passes its suites${noAddon ? ` — skipped: ${why}` : ''}`, () => {
    const addon = build(
      'tidegate_relay.node',
      [...address, ...hidden, '-fPIC', '-shared', `-I${include}`],
      sources,
    );
    const libraries = ['libasan.so', 'libubsan.so'].map((name) =>
      run(gcc.path!, [`-print-file-name=${name}`]).stdout.trim(),
    );
    const vitest = [
      'node_modules/vitest/vitest.mjs',
      'run',
      '--reporter=json',
      'src/relay/native',
      'src/relay/fan-out',
      'test/native/door',
    ];
    const { status, stdout, stderr } = run(process.execPath, vitest, {
      TIDEGATE_TEST_ADDON: addon,
      LD_PRELOAD: libraries.join(' '),
      // Node itself never frees everything.
      ASAN_OPTIONS: 'detect_leaks=0',
    });
    expect(stderr).not.toMatch(/Sanitizer|runtime error/);
    const report = JSON.parse(stdout.slice(stdout.indexOf('{'))) as JsonReport;
    const titles = (wanted: string) =>
      report.testResults
        .flatMap(({ assertionResults }) => assertionResults)
        .filter(({ status }) => status === wanted)
        .map(({ fullName }) => fullName);
    expect(titles('failed')).toEqual([]);
    expect(status).toBe(0);
    expect(report.numPendingTests).toBe(0);
    expect(titles('passed').length).toBeGreaterThan(90);
  });
});

/** What vitest writes with `--reporter=json`, as far as it is read here. */
interface JsonReport {
  readonly numPendingTests: number;
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

function run(program: string, args: readonly string[], env: Record<string, string> = {}) {
  const options = {
    cwd: root,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: PATIENCE_MS,
  } as const;
  const { status, stdout, stderr } = spawnSync(program, args, options);
  return { status, stdout, stderr };
}

function success(stdout: string) {
  return { status: 0, stdout, stderr: '' };
}
