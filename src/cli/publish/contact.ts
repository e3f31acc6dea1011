import { resolve } from 'node:path';
import { formatAdminAddress, parseAdminAddress, type AdminAddress } from '../../config/admin-address.js';
import type { PublishConfig } from '../../config/schema.js';
import { signingKey } from '../../protocol/grip/keys.js';
import { mintToken } from '../../protocol/grip/tokens.js';
import { reachable, readToken } from '../admin/address.js';
import { UsageError } from '../failure.js';

export interface PublishContactOptions {
  readonly url?: string;
  readonly config?: string;
  readonly token?: string;
  readonly tokenFile?: string;
}

/** Where to publish, and what to show there. */
export interface PublishContact {
  readonly to: { readonly socketPath: string } | { readonly url: URL };
  /** For messages: no secret in it. */
  readonly shown: string;
  /** The field `Authorization`. */
  readonly authorization: string | undefined;
}

/** Its value is a bearer token; for people who keep it neither in a file nor in the configuration. */
const TOKEN_VARIABLE = 'TIDEGATE_PUBLISH_TOKEN';
/** How long a token is good that is made for one call. */
const TOKEN_LIFE_MS = 60_000;

/**
 * `--url`, or what the configuration says.
 *
 * @throws UsageError or ConfigError when neither says it
 */
export async function findPublish(options: PublishContactOptions): Promise<PublishContact> {
  const own = bearer(
    options.token ??
      (options.tokenFile === undefined ? process.env[TOKEN_VARIABLE] : readToken(options.tokenFile)),
  );
  if (options.url !== undefined) {
    const { contact, authorization } = parseUrl(options.url);
    return { ...contact, authorization: own ?? authorization };
  }
  const { publish, baseDir } = await readFromConfig(options.config);
  const found = publish.address;
  const address =
    'socketPath' in found ? { socketPath: resolve(baseDir, found.socketPath) } : reachable(found, '--url');
  return { ...contactOf(address), authorization: own ?? (await authorizationFrom(publish.auth, baseDir)) };
}

type Place = Omit<PublishContact, 'authorization'>;

function parseUrl(text: string): { contact: Place; authorization: string | undefined } {
  if (text.startsWith('unix:')) {
    const parsed = parseAdminAddress(text);
    if (!parsed.ok) throw new UsageError(`--url: ${parsed.wrong}`);
    return { contact: contactOf(parsed.value), authorization: undefined };
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '') {
    throw new UsageError(
      `--url: expected http://[USER:PASSWORD@]HOST:PORT, https:// or unix:PATH, found ${JSON.stringify(text)}`,
    );
  }
  const { username, password } = url;
  url.username = '';
  url.password = '';
  const authorization = username === '' ? undefined : basic(decode(username), decode(password));
  return { contact: { to: { url }, shown: url.href }, authorization };
}

function contactOf(address: AdminAddress): Place {
  const shown = formatAdminAddress(address);
  if ('socketPath' in address) return { to: address, shown };
  return { to: { url: new URL(`http://${shown}`) }, shown };
}

async function readFromConfig(
  named: string | undefined,
): Promise<{ publish: PublishConfig; baseDir: string }> {
  // All that knows a configuration takes longer to load than to ask the proxy; with an address it is not needed.
  const [{ parseConfig }, { findConfigFile, readConfigFile }] = await Promise.all([
    import('../../config/parse.js'),
    import('../../config/read.js'),
  ]);
  const file = named ?? findConfigFile(process.cwd());
  if (file === undefined) {
    throw new UsageError(
      'where to publish? Expected --url URL, or a configuration with `publish: 127.0.0.1:5561` here or named by --config',
    );
  }
  const { value, source, baseDir } = await readConfigFile(file);
  const { publish } = parseConfig(value, source);
  if (publish !== undefined) return { publish, baseDir };
  throw new UsageError(
    `${source.file ?? file}: has no \`publish\`; add \`publish: 127.0.0.1:5561\` to it and start the proxy again, or name another address with --url`,
  );
}

/** With one of the secrets that the proxy takes; undefined where it takes everybody, or only what we cannot make. */
async function authorizationFrom(auth: PublishConfig['auth'], baseDir: string): Promise<string | undefined> {
  const { tokens, tokenFile, jwt, basic: passwords } = auth;
  if (tokens[0] !== undefined) return bearer(tokens[0]);
  if (tokenFile !== undefined) return bearer(readToken(resolve(baseDir, tokenFile)));
  if (passwords[0] !== undefined) return basic(passwords[0].user, passwords[0].password);
  for (const { issuer, key, keyFile } of jwt) {
    const signer = trySigner(key ?? readToken(resolve(baseDir, keyFile!)));
    if (signer === undefined) continue;
    return bearer(await mintToken(signer, { issuer, expiresAtMs: Date.now() + TOKEN_LIFE_MS }));
  }
  return undefined;
}

/** Undefined: a public key checks, and signs nothing. */
function trySigner(key: string): ReturnType<typeof signingKey> | undefined {
  try {
    return signingKey(key);
  } catch {
    return undefined;
  }
}

function bearer(token: string | undefined): string | undefined {
  return token === undefined ? undefined : `Bearer ${token}`;
}

function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

function decode(escaped: string): string {
  try {
    return decodeURIComponent(escaped);
  } catch {
    return escaped;
  }
}
