import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { check } from './commands/check.js';
import { demo } from './commands/demo.js';
import { proxy } from './commands/proxy.js';
import { serve } from './commands/serve.js';
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
    <T>(command: (options: T) => Promise<number>) =>
    async (options: T) => {
      exitCode = await command(options);
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

type Runner = <T>(command: (options: T) => Promise<number>) => (options: T) => Promise<void>;

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
    .action(run(proxy));
  program
    .command('serve')
    .description('run what a configuration file says')
    .option('--config <file>', 'default: tidegate.config.{ts,mjs,js,json,yaml,yml} here')
    .action(run(serve));
  program
    .command('check')
    .description('check a configuration file and print what was understood')
    .option('--config <file>', 'default: tidegate.config.{ts,mjs,js,json,yaml,yml} here')
    .action(run(check));
  program
    .command('demo')
    .description('a page to try it in, with sample backends behind the proxy')
    .option('--port <port>', 'default: 8080, or the next one that is free')
    .action(run(demo));
  return program;
}

const examples = `
Examples:
  tidegate proxy --listen 8080 --to http://127.0.0.1:3000
  tidegate proxy --listen 127.0.0.1:8080 --to http://10.0.0.1:3000 --to http://10.0.0.2:3000
  tidegate serve --config tidegate.config.yaml
  tidegate check
  tidegate demo

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
