/**
 * Whether a channel’s name is meant by a pattern: `*` stands for any characters, also none; all else for itself.
 * `news`, `chat:*`, `*:private`.
 */
export function compilePattern(pattern: string): (channel: string) => boolean {
  const parts = pattern.split('*');
  const first = parts[0]!;
  const last = parts.at(-1)!;
  if (parts.length === 1) return (channel) => channel === pattern;
  const middle = parts.slice(1, -1).filter((part) => part !== '');
  return (channel) => {
    if (channel.length < first.length + last.length) return false;
    if (!channel.startsWith(first) || !channel.endsWith(last)) return false;
    let at = first.length;
    for (const part of middle) {
      const found = channel.indexOf(part, at);
      if (found === -1) return false;
      at = found + part.length;
    }
    return at <= channel.length - last.length;
  };
}

/** What the first pattern that fits a channel says of it. */
export function firstMatch<T>(
  rules: readonly { readonly channels: string; readonly value: T }[],
): (channel: string) => T | undefined {
  const compiled = rules.map(({ channels, value }) => ({ fits: compilePattern(channels), value }));
  return (channel) => compiled.find(({ fits }) => fits(channel))?.value;
}
