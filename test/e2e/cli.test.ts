import { mkdirSync, readFileSync, renameSync } from 'node:fs';
import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { Cli, runCli } from '../fixtures/cli.js';
import { Inbox } from '../fixtures/inbox.js';
import { Http2Client } from '../fixtures/http2-client.js';
import { listening, type Listening } from '../fixtures/listening.js';
import { running } from '../fixtures/running.js';
import { useFolders } from '../fixtures/folders.js';
import { quietPort } from '../fixtures/ports.js';

const top = fileURLToPath(new URL('../..', import.meta.url));
const folder = useFolders('cli');

describe.concurrent('help and usage', () => {
  test('--version is the package’s', async () => {
    const { version } = JSON.parse(readFileSync(join(top, 'package.json'), 'utf8')) as { version: string };
    expect(await runCli(['--version'])).toEqual({ code: 0, stdout: version, stderr: '' });
  });

  test('--help shows every command and examples', async () => {
    const { code, stdout, stderr } = await runCli(['--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const word of ['proxy', 'serve', 'check', 'demo', 'Examples:', 'Exit codes:'])
      expect(stdout).toContain(word);
  });

  test('no command at all: the help, on stderr', async () => {
    const { code, stdout, stderr } = await runCli([]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('Usage: tidegate');
  });

  test.each([
    [['servee'], `tidegate: unknown command 'servee'; did you mean serve?`],
    [['serve', '--confg', 'x'], `tidegate: unknown option '--confg'; did you mean --config?`],
    [['proxy', '--to', 'http://a'], `tidegate: required option '--listen <[host:]port>' not specified`],
    [
      ['proxy', '--listen', '80', '--to', 'localhost:3000'],
      'tidegate: --to: expected the URL of a server, such as http://127.0.0.1:3001, https://chat.internal or unix:/run/chat.sock, found "localhost:3000"; did you mean "http://localhost:3000"?',
    ],
    [
      ['proxy', '--listen', 'localhost', '--to', 'http://a'],
      'tidegate: --listen: expected [HOST:]PORT or unix:PATH, such as 8080, 127.0.0.1:8080, "[::1]:8080" or unix:/run/tidegate.sock, found "localhost"',
    ],
    [
      ['proxy', '--listen', '80', '--listen', '127.0.0.1:80', '--to', 'http://a'],
      'tidegate: listeners[1]: 127.0.0.1:80 is taken by listeners[0] (80)',
    ],
    [['demo', '--port', 'http'], 'tidegate: --port: expected a port from 0 to 65535, found "http"'],
    [
      ['demo', '--https-port', '70000'],
      'tidegate: --https-port: expected a port from 0 to 65535, found "70000"',
    ],
  ])('%j: one line, exit 2', async (args, line) => {
    expect(await runCli(args)).toEqual({ code: 2, stdout: '', stderr: line });
  });
});

describe('serve and proxy', () => {
  test('serve: the summary, a request, its line in the access log, and an orderly end', async () => {
    const backend = await running(httpBackend((_, res) => res.end('hello')));
    const cwd = folder({
      'tidegate.config.yaml': `listeners: [127.0.0.1:0]
upstreams: { pages: ${backend.url} }
routes: [{ name: all, to: pages }]
`,
    });
    const cli = await running(new Cli(['serve'], { cwd }));
    const url = await cli.url();
    expect(cli.stderr.all[0]).toMatch(
      /^Tidegate is running as tidegate\.config\.yaml says; relay engine: (native$|stream \(no native engine: )/,
    );
    await cli.stderr.next((line) => line === `  everything  →  pages (${backend.url})`);

    expect(await (await fetch(`${url}/greeting?token=secret`)).text()).toBe('hello');
    const record = JSON.parse(await cli.stdout.next()) as Record<string, unknown>;
    expect(record).toEqual({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string,
      client: '127.0.0.1',
      method: 'GET',
      host: url.slice('http://'.length),
      path: '/greeting',
      status: 200,
      via: 'h1',
      route: 'all',
      upstream: 'pages',
      server: backend.url,
      durationMs: expect.any(Number) as number,
      bytesFromClient: 0,
      bytesFromUpstream: 5,
    });

    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
    expect(cli.stdout.all).toHaveLength(1);
    expect(cli.stderr.all.at(-1)).toMatch(/ info: stopped$/);
  });

  test('SIGTERM lets a request finish and takes no new ones', async () => {
    const waiting = new Inbox<ServerResponse>('requests');
    const backend = await running(httpBackend((_, res) => waiting.push(res)));
    const cli = await running(new Cli(['proxy', '--listen', '127.0.0.1:0', '--to', backend.url]));
    const url = await cli.url();
    const answer = fetch(url);
    const response = await waiting.next();

    cli.signal('SIGTERM');
    await cli.stderr.next((line) => line.includes('SIGTERM: taking no new work; 0 sessions and 1 request'));
    expect(await connectTo(Number(new URL(url).port))).toBe('ECONNREFUSED');
    response.end('finished');
    expect(await (await answer).text()).toBe('finished');
    expect(await cli.exited).toBe(0);
    expect(JSON.parse(cli.stdout.all[0]!)).toMatchObject({ status: 200, bytesFromUpstream: 8 });
  });

  test('SIGTERM closes a session: the client is told, the log has it, exit 0', async () => {
    const { cli, closed } = await runSession('drain: { closeCode: 4000 }');
    cli.signal('SIGTERM');
    expect(await closed).toBe(4000);
    expect(await cli.exited).toBe(0);
    expect(cli.stderr.all.at(-2)).toMatch(
      / info: SIGTERM: taking no new work; 1 session and 0 requests may take 30s to finish$/,
    );
    expect(JSON.parse(cli.stdout.all[0]!)).toMatchObject({
      closeCodeFromClient: 4000,
      closedBy: 'proxy',
      outcome: 'drained',
    });
  });

  test('a session that cannot be told is cut after the drain’s time, and logged', async () => {
    const { cli, closed } = await runSession('drain: { timeout: 100ms }', { observe: false });
    cli.signal('SIGINT');
    expect(await closed).toBe(1006);
    expect(await cli.exited).toBe(0);
    expect(JSON.parse(cli.stdout.all[0]!)).toMatchObject({
      status: 101,
      generation: 'rfc6455',
      bytesFromClient: 11,
      bytesFromUpstream: 7,
      closedBy: 'proxy',
      outcome: 'drained',
    });
  });

  test('a second signal cuts at once: exit 1', async () => {
    const { cli, closed } = await runSession('drain: { timeout: 1h }', { observe: false });
    cli.signal('SIGTERM');
    await cli.stderr.next((line) => line.includes('1 session and 0 requests may take 1h to finish'));
    cli.signal('SIGTERM');
    expect(await closed).toBe(1006);
    expect(await cli.exited).toBe(1);
    expect(cli.stderr.all.at(-1)).toMatch(/ warn: SIGTERM again: cutting 1 session and 0 requests$/);
    expect(cli.stdout.all).toHaveLength(1);
  });

  test('an interrupt that comes twice at once is one: Ctrl-C under npm', async () => {
    const { cli, closed } = await runSession('drain: { timeout: 500ms }', { observe: false });
    cli.signal('SIGINT');
    await cli.stderr.next((line) => line.includes('SIGINT: taking no new work'));
    cli.signal('SIGINT');
    expect(await closed).toBe(1006);
    expect(await cli.exited).toBe(0);
  });

  test('a port in use: one line, exit 1', async () => {
    const other = await running(httpBackend((_, res) => res.end()));
    const address = `127.0.0.1:${other.port}`;
    expect(await runCli(['proxy', '--listen', address, '--to', 'http://127.0.0.1:1'])).toEqual({
      code: 1,
      stdout: '',
      stderr: `tidegate: cannot listen on ${address}: the port is in use by another program`,
    });
  });

  test('a host to listen on that is not ours', async () => {
    const { code, stderr } = await runCli(['proxy', '--listen', '192.0.2.1:0', '--to', 'http://127.0.0.1:1']);
    expect(code).toBe(1);
    expect(stderr).toBe('tidegate: cannot listen on 192.0.2.1: this machine has no such address');
  });

  test('several --to take turns', async () => {
    const [a, b] = await Promise.all(
      ['a', 'b'].map((name) => running(httpBackend((_, res) => res.end(name)))),
    );
    const cli = await running(new Cli(['proxy', '--listen', '127.0.0.1:0', '--to', a!.url, '--to', b!.url]));
    const url = await cli.url();
    const answers: string[] = [];
    for (let i = 0; i < 4; i++) answers.push(await (await fetch(url)).text());
    expect(answers).toEqual(['a', 'b', 'a', 'b']);
  });

  test('a bare port listens on every address, and says so', async () => {
    const backend = await running(httpBackend((_, res) => res.end('hello')));
    const cli = await running(new Cli(['proxy', '--listen', '0', '--to', backend.url]));
    const line = await cli.stderr.next((line) => line.startsWith('  listening'));
    const [, port] =
      /^ {2}listening on port (\d+) on every (?:IPv4 )?address \(http:\/\/localhost:\1\)$/.exec(line)!;
    expect(await (await fetch(`http://127.0.0.1:${port}`)).text()).toBe('hello');
  });

  test('a reader of the access log that goes away costs the log, not the proxy', async () => {
    const backend = await running(httpBackend((_, res) => res.end('hello')));
    const cli = await running(new Cli(['proxy', '--listen', '127.0.0.1:0', '--to', backend.url]));
    const url = await cli.url();
    cli.closeStdout();
    await fetch(url);
    await cli.stderr.next((line) => line.includes('error: the access log cannot be written any more: '));
    for (let i = 0; i < 3; i++) expect(await (await fetch(url)).text()).toBe('hello');
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
    expect(cli.stderr.all.filter((line) => line.includes('error:'))).toHaveLength(1);
  });

  test('the human access log', async () => {
    const backend = await running(httpBackend((_, res) => res.end('hello')));
    const cwd = folder({
      'tidegate.config.yaml': `listeners: [127.0.0.1:0]
routes: [{ to: "${backend.url}" }]
accessLog: { format: human }
`,
    });
    const cli = await running(new Cli(['serve'], { cwd }));
    await fetch(`${await cli.url()}/x`);
    expect(await cli.stdout.next()).toMatch(/^\d\d:\d\d:\d\d {2}200 {2}GET 127\.0\.0\.1:\d+\/x {2}→ .* ↓5B$/);
  });

  test('the access log in a file: SIGUSR1 opens it again, also when it cannot', async () => {
    const backend = await running(httpBackend((_, res) => res.end('hello')));
    const cwd = folder({
      'tidegate.config.yaml': `listeners: [127.0.0.1:0]
routes: [{ to: "${backend.url}" }]
accessLog: { file: logs/access.log }
`,
      'before.log': 'a line from before\n',
    });
    expect(await runCli(['serve'], { cwd })).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^tidegate: accessLog\.file: cannot write to \S+logs\/access\.log: ENOENT/,
      ) as string,
    });
    mkdirSync(join(cwd, 'logs'));
    const file = join(cwd, 'logs', 'access.log');
    renameSync(join(cwd, 'before.log'), file);
    const cli = await running(new Cli(['serve'], { cwd }));
    const url = await cli.url();
    const isLogged = async (name: string, path: string) => {
      while (!readFileSync(name, 'utf8').includes(path))
        await new Promise((resolve) => setTimeout(resolve, 10));
    };
    await fetch(`${url}/one`);
    await isLogged(file, '/one');
    expect(readFileSync(file, 'utf8')).toMatch(/^a line from before\n\{.*"path":"\/one".*\}\n$/);

    renameSync(file, `${file}.1`);
    await fetch(`${url}/two`);
    await isLogged(`${file}.1`, '/two');
    cli.signal('SIGUSR1');
    await cli.stderr.next((line) => line.includes(`info: SIGUSR1: the access log ${file} is open again`));
    await fetch(`${url}/three`);
    await isLogged(file, '/three');
    expect(readFileSync(`${file}.1`, 'utf8')).not.toContain('/three');
    expect(readFileSync(file, 'utf8')).not.toContain('/two');

    renameSync(join(cwd, 'logs'), join(cwd, 'gone'));
    cli.signal('SIGUSR1');
    await cli.stderr.next((line) => line.includes('error: SIGUSR1: cannot write to'));
    await fetch(`${url}/four`);
    await isLogged(join(cwd, 'gone', 'access.log'), '/four');
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
    expect(cli.stdout.all).toEqual([]);
  });

  test('SIGUSR1 without a file does nothing', async () => {
    const backend = await running(httpBackend((_, res) => res.end('hello')));
    const cli = await running(new Cli(['proxy', '--listen', '127.0.0.1:0', '--to', backend.url]));
    const url = await cli.url();
    cli.signal('SIGUSR1');
    await cli.stderr.next((line) => line.includes('the access log is no file, nothing to open again'));
    expect(await (await fetch(url)).text()).toBe('hello');
    expect(cli.stderr.all.join()).not.toContain('Debugger listening');
  });

  test('level silent and no access log: not a word', async () => {
    const backend = await running(httpBackend((_, res) => res.end('hello')));
    const port = await quietPort();
    const cwd = folder({
      'tidegate.config.mjs': `export default {
  listeners: ['127.0.0.1:${port}'],
  routes: [{ to: '${backend.url}' }],
  accessLog: false,
  log: { level: 'silent' },
};`,
    });
    const cli = await running(new Cli(['serve'], { cwd }));
    while ((await connectTo(port)) !== undefined) await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await (await fetch(`http://127.0.0.1:${port}`)).text()).toBe('hello');
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
    expect([...cli.stdout.all, ...cli.stderr.all]).toEqual([]);
  });
});

test('demo runs until it is told to stop', async () => {
  const cli = await running(new Cli(['demo', '--port', '0']));
  const line = await cli.stdout.next((line) => line.includes('Open http://'));
  const url = /http:\S+/.exec(line)![0];
  expect((await fetch(url)).status).toBe(200);
  const secure = await cli.stdout.next((line) => line.includes('HTTP/2: https://'));
  const client = await Http2Client.connect(/https:\S+/.exec(secure)![0], { rejectUnauthorized: false });
  expect(await client.ask({ ':path': '/' })).toMatchObject({ status: 200 });
  cli.signal('SIGINT');
  expect(await cli.exited).toBe(0);
});

function httpBackend(answer: RequestListener): Promise<Listening> {
  return listening(createServer(answer));
}

/** A WebSocket through the command line, open and used once. */
async function runSession(settings: string, websocket: object = {}) {
  const server = createServer();
  new WebSocketServer({ server }).on('connection', (peer) => {
    peer.on('error', () => {});
    peer.on('message', (data) => peer.send(data));
  });
  const backend = await running(listening(server));
  const cwd = folder({
    'tidegate.config.yaml': `listeners: [127.0.0.1:0]\nroutes: [{ to: "${backend.url}", websocket: ${JSON.stringify(websocket)} }]\n${settings}\n`,
  });
  const cli = await running(new Cli(['serve'], { cwd }));
  const socket = new WebSocket(await cli.url());
  socket.on('error', () => {});
  const closed = new Promise<number>((resolve) => socket.once('close', resolve));
  await new Promise((resolve) => socket.once('open', resolve));
  const echo = new Promise((resolve) => socket.once('message', resolve));
  socket.send('hello');
  await echo;
  return { cli, closed };
}

/** The error code of a connection attempt, undefined when it is taken. */
function connectTo(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    socket.once('connect', () => {
      socket.destroy();
      resolve(undefined);
    });
  });
}
