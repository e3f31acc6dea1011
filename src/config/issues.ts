/** Keys and positions from the top of a configuration: `['routes', 2, 'to']`. */
export type ConfigPath = readonly (string | number)[];

/** One thing that is wrong, or worth a warning, in a configuration. */
export interface ConfigIssue {
  /** `routes[2].match.host`; empty for the configuration as a whole. */
  readonly path: string;
  /** The file as the user knows it, when the configuration came from one. */
  readonly file?: string;
  /** From 1; only for files whose positions are known (YAML, JSON). */
  readonly line?: number;
  /** From 1. */
  readonly column?: number;
  /** What was found and what would be accepted, in one line. */
  readonly message: string;
  /** What was probably meant, as it would be written. */
  readonly suggestion?: string;
}

/** Where a configuration came from, so that issues can say where they are. */
export interface ConfigSource {
  readonly file?: string;
  /** The place of a path, or of what is nearest above it. */
  readonly locate?: (path: ConfigPath) => { readonly line: number; readonly column: number } | undefined;
}

/** An issue before it is put in its place. */
export interface Finding {
  readonly path: ConfigPath;
  readonly message: string;
  readonly suggestion?: string | undefined;
}

/** A configuration that cannot be used, with everything that is wrong with it; `message` has a line for each. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly issues: readonly ConfigIssue[];

  constructor(issues: readonly ConfigIssue[], options?: ErrorOptions) {
    super(issues.map(formatIssue).join('\n'), options);
    this.issues = issues;
  }
}

/** `file:line:column: routes[2].to: no upstream named "chta"; did you mean "chat"?` */
export function formatIssue(issue: ConfigIssue): string {
  const place = [issue.file, issue.line, issue.column].filter((part) => part !== undefined).join(':');
  const hint = issue.suggestion === undefined ? undefined : `; did you mean ${quote(issue.suggestion)}?`;
  const start = [place, issue.path].filter((part) => part !== '').map((part) => `${part}: `);
  return `${start.join('')}${issue.message}${hint ?? ''}`;
}

/** Puts findings in their place, in the order in which they stand in the file. */
export function placeFindings(findings: readonly Finding[], source: ConfigSource = {}): ConfigIssue[] {
  const issues = findings.map(({ path, message, suggestion }): ConfigIssue => ({
    path: formatPath(path),
    ...(source.file === undefined ? {} : { file: source.file }),
    ...source.locate?.(path),
    message,
    ...(suggestion === undefined ? {} : { suggestion }),
  }));
  return issues.sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
}

/** `['routes', 2, 'match', 'host']` → `routes[2].match.host`. */
export function formatPath(path: ConfigPath): string {
  let text = '';
  for (const key of path) {
    if (typeof key === 'number') text += `[${key}]`;
    else if (/^[\w-]+$/.test(key)) text += text === '' ? key : `.${key}`;
    else text += `[${JSON.stringify(key)}]`;
  }
  return text;
}

function quote(text: string): string {
  return JSON.stringify(text);
}
