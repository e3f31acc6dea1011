import { crossCheck, type CrossCheckOptions } from './cross-checks.js';
import { toFindings, wordIssue } from './findings.js';
import { ConfigError, placeFindings, type ConfigSource } from './issues.js';
import { configSchema, type Config } from './schema.js';

/**
 * Checks what a person wrote and fills in the defaults.
 *
 * @param value what a file or a program holds: see `ConfigInput`
 * @param source where it came from, so that errors can say so
 * @param options `needsListeners`: whether one without listeners is an error, default false
 * @throws ConfigError with everything that is wrong, not only the first thing
 */
export function parseConfig(value: unknown, source?: ConfigSource, options: CrossCheckOptions = {}): Config {
  const parsed = configSchema.safeParse(value, { reportInput: true, error: wordIssue });
  const findings = [...toFindings(parsed.error?.issues ?? [], value), ...crossCheck(value, options)];
  if (findings.length > 0 || !parsed.success) throw new ConfigError(placeFindings(findings, source));
  return parsed.data;
}
