import { styleText } from 'node:util';
import { printable } from '../../observe/access-log.js';

export interface Column {
  readonly title: string;
  /** Numbers stand under each other by their last digit. */
  readonly align?: 'right';
}

/** Rows under their titles, columns two spaces apart; what came from outside cannot move the cursor. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  { color }: { readonly color: boolean },
): string[] {
  const cells = [columns.map(({ title }) => title), ...rows].map((row) => row.map(printable));
  const widths = columns.map((_, at) => Math.max(...cells.map((row) => row[at]!.length)));
  return cells.map((row, line) => {
    const text = row
      .map((cell, at) =>
        columns[at]!.align === 'right' ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!),
      )
      .join('  ')
      .trimEnd();
    return line === 0 && color ? styleText('dim', text, { validateStream: false }) : text;
  });
}

/** `client-closed 8, upstream-lost 1`; the most frequent first. */
export function listCounts(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}
