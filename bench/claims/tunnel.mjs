/** What it costs to move messages through an open tunnel. */

import { runLoaded } from '../lib/loaded-run.mjs';
import { sizeLabel } from '../lib/format.mjs';

const KIB = 1024;
const MIB = 1024 * KIB;
const PACED_PER_SECOND = 5_000;
/** More than this under way at once measures the memory of the machine. */
const MAX_UNDER_WAY_BYTES = 128 * MIB;

const chosen = [
  // [mode, connections, payload bytes, part of --quick, over TLS too]
  ['echo', 1, 64, true, true],
  ['echo', 1, 64 * KIB, false, false],
  ['echo', 64, 64, true, true],
  ['echo', 64, KIB, true, true],
  ['echo', 64, 64 * KIB, true, true],
  ['echo', 64, MIB, false, false],
  ['echo', 500, 64, false, false],
  ['echo', 500, KIB, false, true],
  ['echo', 500, 64 * KIB, false, false],
  ['paced', 64, KIB, false, false],
  ['down', 1, MIB, false, false],
  ['down', 64, KIB, true, true],
  ['down', 64, 64 * KIB, false, true],
  ['down', 500, KIB, false, false],
  ['up', 64, KIB, false, true],
  ['up', 64, 64 * KIB, false, true],
];

const titles = {
  echo: 'Echo',
  paced: `Echo, ${PACED_PER_SECOND.toLocaleString('en')} messages/s in all`,
  down: 'Server to client',
  up: 'Client to server',
};

/** The cases that the options ask for, in the order of the tables. */
export function tunnelCases({ modes, quick, secure, connections, sizes }) {
  const wanted =
    connections === undefined && sizes === undefined
      ? chosen.filter(([, , , isQuick, isSecure]) => (isQuick || !quick) && (isSecure || !secure))
      : everyCombination(connections ?? [1, 64, 500], sizes ?? [64, KIB, 64 * KIB, MIB]);
  return wanted
    .filter(([mode]) => modes.has(mode))
    .map(([mode, connections, size]) => ({
      id: `${mode}-${connections}-${size}`,
      claim: 'tunnel',
      title: `${titles[mode]}: ${connections} connection${connections === 1 ? '' : 's'}, ${sizeLabel(size)}`,
      unit: 'message',
      mode,
      connections,
      size,
      hasLatency: mode === 'echo' || mode === 'paced',
      run: (context) =>
        runLoaded(context, { mode, connections, size, ...(mode === 'paced' && { rate: PACED_PER_SECOND }) }),
    }));
}

function everyCombination(connections, sizes) {
  const modes = ['echo', 'paced', 'down', 'up'];
  return modes
    .flatMap((mode) => connections.flatMap((count) => sizes.map((size) => [mode, count, size])))
    .filter(([mode, count, size]) => mode !== 'paced' || count * size <= MIB)
    .filter(([, count, size]) => count * size <= MAX_UNDER_WAY_BYTES);
}
