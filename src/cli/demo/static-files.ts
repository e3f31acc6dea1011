import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join, relative, sep } from 'node:path';

const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Nothing but what this origin serves; `ws:` for browsers in which `'self'` does not cover WebSockets. */
const CONTENT_SECURITY_POLICY =
  "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'self'";

/**
 * The files of one folder, by URL path. The list is read once, so a request can only ever name a file that was there;
 * the contents are read each time, so that an edited page is a reload away.
 */
export class StaticFiles {
  readonly #files = new Map<string, string>();

  /** Throws when the folder cannot be read. */
  constructor(root: string) {
    for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
      const file = join(entry.parentPath, entry.name);
      if (entry.isFile() && extname(file) in contentTypes) {
        this.#files.set(`/${relative(root, file).split(sep).join('/')}`, file);
      }
    }
  }

  /** Answers the request if its path names a file; `/` is `/index.html`. */
  async serve(path: string, request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const file = this.#files.get(path === '/' ? '/index.html' : path);
    if (file === undefined) return false;
    const body = await readFile(file);
    response.writeHead(200, {
      'content-type': contentTypes[extname(file)],
      'content-length': body.length,
      'content-security-policy': CONTENT_SECURITY_POLICY,
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-cache',
    });
    response.end(request.method === 'HEAD' ? undefined : body);
    return true;
  }
}
