import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * In CI a test that fails is tried once more, for machines there stand still for seconds; `npm test` names it at its end
 * all the same (scripts/lib/vitest.mjs). Elsewhere it fails at once.
 */
const retry = process.env.CI === 'true' ? 1 : 0;

const common = { pool: 'forks', testTimeout: 30_000, hookTimeout: 30_000, retry } as const;

/**
 * What counts the descriptors, sockets or memory of its process has one to itself: others’ leavings would count too. And
 * so has the software of others: what it leaves behind in a process is not ours to know. What `npm test` leaves out on
 * some versions of Node must be here as well: `--exclude` means nothing to a project that excludes by itself.
 */
const processOfItsOwn = [
  'test/bench.test.ts',
  'test/e2e/dockerfile.test.ts',
  'src/protocol/translate/translator.test.ts',
  'test/e2e/{faults-*,http-bodies,http-churn,leaks,native-door,translation-leaks}.test.ts',
  'test/fixtures/faults.test.ts',
  'test/interop/*.test.ts',
  'test/native/*.test.ts',
];

/** The longest first, or the last of them would run alone at the end. */
const longest = ['sanitizers', 'dockerfile', 'nginx', 'admin', 'bench', 'browser', 'publish', 'tls', 'cli'];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

function isLong({ moduleId }: TestSpecification): boolean {
  return longest.some((name) => moduleId.includes('/test/') && moduleId.endsWith(`/${name}.test.ts`));
}

export default defineConfig({
  test: {
    // These tests wait as long as they work: with one file for each core, half of the cores would idle.
    maxWorkers: Math.min(4, 2 * availableParallelism()),
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        // Files follow one another in the same few processes: to start one and to read Tidegate into it takes longer
        // than most files do.
        test: {
          ...common,
          name: 'tidegate',
          isolate: false,
          include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
          exclude: processOfItsOwn,
        },
      },
      { test: { ...common, name: 'tidegate, a process each', include: processOfItsOwn } },
      {
        // Where there is the addon, clients come in through its door, and handshakes go another way through the code.
        // What users see must be the same without it.
        test: {
          ...common,
          name: 'tidegate without its addon',
          include: [
            'test/e2e/{answers,leaks,not-an-upgrade,thread,upgrade}.test.ts',
            'test/interop/{modern,old-software,socket-io}.test.ts',
          ],
          env: { TIDEGATE_TEST_RELAY: 'stream' },
        },
      },
    ],
  },
});
