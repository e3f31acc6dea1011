import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseAdminAddress, type AdminAddress } from '../../config/admin-address.js';
import { UsageError } from '../failure.js';

/** Options of every command that speaks to a running proxy. */
export interface AdminOptions {
  /** `[HOST:]PORT` or `unix:PATH`. */
  readonly admin?: string;
  readonly config?: string;
  readonly tokenFile?: string;
  readonly json?: boolean;
}

/** Whom to speak to, and what to show. */
export interface AdminContact {
  readonly address: AdminAddress;
  readonly token: string | undefined;
}

/** Its value is the token; for people who keep it neither in a file nor in the configuration. */
const TOKEN_VARIABLE = 'TIDEGATE_ADMIN_TOKEN';

/**
 * `--admin`, or what the configuration says.
 *
 * @throws UsageError or ConfigError when neither says it
 */
export async function findAdmin(options: AdminOptions): Promise<AdminContact> {
  const own = options.tokenFile === undefined ? process.env[TOKEN_VARIABLE] : readToken(options.tokenFile);
  if (options.admin !== undefined) return { address: reachable(parse(options.admin)), token: own };
  const found = await readFromConfig(options.config);
  return { address: reachable(found.address), token: own ?? found.token() };
}

function parse(text: string): AdminAddress {
  const parsed = parseAdminAddress(text);
  if (parsed.ok) return parsed.value;
  const hint = parsed.suggestion === undefined ? '' : `; did you mean ${JSON.stringify(parsed.suggestion)}?`;
  throw new UsageError(`--admin: ${parsed.wrong}${hint}`);
}

async function readFromConfig(
  named: string | undefined,
): Promise<{ address: AdminAddress; token: () => string | undefined }> {
  // All that knows a configuration takes longer to load than to ask the proxy; with an address it is not needed.
  const [{ parseConfig }, { findConfigFile, readConfigFile }] = await Promise.all([
    import('../../config/parse.js'),
    import('../../config/read.js'),
  ]);
  const file = named ?? findConfigFile(process.cwd());
  if (file === undefined) {
    throw new UsageError(
      'where is the admin API? Expected --admin ADDRESS, or a configuration with `admin: 127.0.0.1:9090` here or named by --config',
    );
  }
  const { value, source, baseDir } = await readConfigFile(file);
  const { admin } = parseConfig(value, source);
  if (admin === undefined) {
    throw new UsageError(
      `${source.file ?? file}: has no admin API; add \`admin: 127.0.0.1:9090\` to it and start the proxy again, or name another address with --admin`,
    );
  }
  const { address, token, tokenFile } = admin;
  return {
    address: 'socketPath' in address ? { socketPath: resolve(baseDir, address.socketPath) } : address,
    token: () => (tokenFile === undefined ? token : readToken(resolve(baseDir, tokenFile))),
  };
}

export function readToken(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (thrown) {
    throw new UsageError(`cannot read the token: ${(thrown as Error).message}`);
  }
}

/**
 * Where to dial for an address that was written to listen on.
 *
 * @param option what names another
 */
export function reachable(address: AdminAddress, option = '--admin'): AdminAddress {
  if ('socketPath' in address) return address;
  if (address.port === 0) {
    throw new UsageError(`port 0 is any free port: say with ${option} which one it has become`);
  }
  if (address.host === undefined || address.host === '0.0.0.0') return { ...address, host: '127.0.0.1' };
  return address.host === '::' ? { ...address, host: '::1' } : address;
}
