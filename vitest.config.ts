import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

const common = { pool: 'forks', testTimeout: 30_000, hookTimeout: 30_000 } as const;

export default defineConfig({
  test: {
    // Vitest leaves a core idle; these tests wait more than they work.
    maxWorkers: Math.min(4, availableParallelism()),
    projects: [
      { test: { ...common, name: 'tidegate', include: ['src/**/*.test.ts', 'test/**/*.test.ts'] } },
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
