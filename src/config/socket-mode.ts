import { leaf, right, show, wrong } from './leaf.js';

/** Unless told otherwise: of its owner and its group. */
export const SOCKET_MODE = 0o660;

/** The permissions of a unix socket, read as a number. In quotes: YAML reads 0660 as six hundred and sixty. */
export function socketMode() {
  return leaf("a mode in quotes, such as '0660'", (written) =>
    /^0?[0-7]{3}$/.test(written)
      ? right(Number.parseInt(written, 8))
      : wrong(`expected three octal digits such as '0660', found ${show(written)}`),
  );
}
