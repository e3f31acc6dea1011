import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { describeFailure, EXIT_USAGE } from './failure.js';
import { tell } from './output.js';

/**
 * The command line.
 *
 * @param argv what stands behind `tidegate`
 * @returns the exit code: 0 fine, 1 failed while running, 2 usage or configuration
 */
export async function main(argv: readonly string[]): Promise<number> {
  // Whoever reads our messages may go away; that is no reason to.
  process.stderr.on('error', () => {});
  let exitCode = 0;
  const run =
    <T extends unknown[]>(load: () => Promise<CommandOf<T>>) =>
    async (...args: T) => {
      const command = await load();
      exitCode = await command(...args);
    };
  try {
    await makeProgram(run).parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (thrown) {
    // Commander has said what there is to say.
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : EXIT_USAGE;
    const failure = describeFailure(thrown);
    for (const line of failure.lines) tell(`tidegate: ${line}`);
    return failure.exitCode;
  }
}

type CommandOf<T extends unknown[]> = (...args: T) => Promise<number>;

/** A command is read when it is called: one that asks a running proxy has no use for a proxy's code, and is quick. */
type Runner = <T extends unknown[]>(load: () => Promise<CommandOf<T>>) => (...args: T) => Promise<void>;

function makeProgram(run: Runner): Command {
  const program = new Command('tidegate')
    .description(
      'A WebSocket-first reverse proxy: every generation of WebSocket, and plain HTTP, to any backend.',
    )
    .version(version(), '-v, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .configureOutput({ outputError: (text, write) => write(`tidegate: ${oneLine(text)}\n`) })
    .exitOverride()
    .addHelpText('after', examples);

  program
    .command('proxy')
    .description('proxy to one backend: one line, no file')
    .requiredOption(
      '--listen <[host:]port>',
      'where to listen; a bare port is every address; repeatable',
      collect,
    )
    .requiredOption('--to <url>', 'http://, https:// or unix: server; repeat it to take turns', collect)
    .option('--admin <address>', '127.0.0.1:PORT or unix:PATH for the commands below; default: none')
    .action(run(async () => (await import('./commands/proxy.js')).proxy));
  program
    .command('serve')
    .description('run what a configuration file says')
    .option('--config <file>', 'default: tidegate.config.{ts,mjs,js,json,yaml,yml} here')
    .action(run(async () => (await import('./commands/serve.js')).serve));
  program
    .command('check')
    .description('check a configuration file and print what was understood')
    .option('--config <file>', 'default: tidegate.config.{ts,mjs,js,json,yaml,yml} here')
    .action(run(async () => (await import('./commands/check.js')).check));
  program
    .command('demo')
    .description('a page to try it in, with sample backends behind the proxy')
    .option('--port <port>', 'default: 8080, or the next one that is free')
    .option('--https-port <port>', 'TLS and HTTP/2; default: 8443, or the next one that is free')
    .action(run(async () => (await import('./commands/demo.js')).demo));
  speaksToProxy(program.command('status'))
    .description('what a running proxy does: listeners, routes, servers, counters')
    .action(run(async () => (await import('./commands/status.js')).status));
  speaksToProxy(program.command('connections'))
    .description('the WebSockets that are open, oldest first')
    .option('--route <name>', 'only those of this route')
    .option('--client <address>', 'only those of this client')
    .option('--upstream <name>', 'only those of this upstream')
    .option('--limit <number>', 'how many to show; default: 100')
    .action(run(async () => (await import('./commands/connections.js')).connections));
  speaksToProxy(program.command('close'))
    .description('close one of them')
    .argument('<id>', 'as `connections` shows it')
    .option('--code <number>', 'what the client is told; default: 1001')
    .option('--reason <text>', 'at most 123 bytes')
    .option('--timeout <duration>', 'when to cut a client that does not answer; default: 5s')
    .action(run(async () => (await import('./commands/close.js')).close));
  speaksToProxy(program.command('drain'))
    .description('take no new work and let go of every session')
    .option('--timeout <duration>', 'when to cut what is left; default: as configured')
    .option('--spread <duration>', 'over which time to close them; default: as configured')
    .option('--code <number>', 'what clients are told; default: as configured')
    .option('--reason <text>', 'at most 123 bytes')
    .action(run(async () => (await import('./commands/drain.js')).drain));
  speaksToProxy(program.command('reload'))
    .description('have a running proxy read its configuration again')
    .action(run(async () => (await import('./commands/reload.js')).reload));
  program
    .command('publish')
    .description('push a message to the clients of `gateway` routes that listen to a channel')
    .argument('<channel>')
    .argument('[text]', 'the message; - reads it from standard input')
    .option('--binary', 'a binary message')
    .option('--close <code>', 'close them instead')
    .option('--reason <text>', 'with --close: at most 123 bytes')
    .option('--url <url>', 'where to publish: http://HOST:PORT or unix:PATH; default: as configured')
    .option('--config <file>', 'where to read that; default: tidegate.config.{ts,mjs,js,json,yaml,yml} here')
    .option('--token <token>', 'a bearer token; other users of this machine may see it')
    .option('--token-file <file>', 'holds the token; default: TIDEGATE_PUBLISH_TOKEN, or as configured')
    .option('--json', 'print JSON')
    .action(run(async () => (await import('./commands/publish.js')).publish));
  return program;
}

/** What every command needs that speaks to a running proxy. */
function speaksToProxy(command: Command): Command {
  return command
    .option('--admin <address>', 'its admin API: 127.0.0.1:PORT or unix:PATH; default: as configured')
    .option('--config <file>', 'where to read that; default: tidegate.config.{ts,mjs,js,json,yaml,yml} here')
    .option('--token-file <file>', 'holds the token; default: TIDEGATE_ADMIN_TOKEN, or as configured')
    .option('--json', 'print JSON');
}

const examples = `
Examples:
  tidegate proxy --listen 8080 --to http://127.0.0.1:3000
  tidegate proxy --listen 127.0.0.1:8080 --to http://10.0.0.1:3000 --to http://10.0.0.2:3000
  tidegate serve --config tidegate.config.yaml
  tidegate check
  tidegate demo
  tidegate status --admin 127.0.0.1:9090
  tidegate connections --client 192.0.2.7
  tidegate close GBXsmJvFrjPkZNtd --code 4000 --reason 'please log in again'
  tidegate publish news 'it works' --url http://127.0.0.1:5561

Exit codes: 0 fine, 1 failed while running, 2 usage or configuration.
SIGTERM and SIGINT let open work finish; a second one cuts it.`;

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

/** Commander's `error: …` with its suggestion on a line of its own, as one line. */
function oneLine(text: string): string {
  return text
    .replace(/^error: /, '')
    .trim()
    .replaceAll(/\n\(?(Did you mean [^)\n]*)\)?/g, '; $1')
    .replaceAll('; Did', '; did');
}

function version(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
