import { AdminFailure } from '../admin/failure.js';
import type { ReloadResult } from '../admin/target.js';
import { systemDeps } from '../base/system.js';
import { ConfigError, formatIssue, placeFindings } from '../config/issues.js';
import type { Proxy } from '../server/proxy.js';
import type { AccessOutput } from './access-output.js';
import { describeFailure, RunError } from './failure.js';
import { type LoadedConfig, loadConfig } from './load.js';
import type { Log } from './output.js';
import { FileWatch } from './file-watch.js';
import type { ServiceManager } from './service-manager.js';

const DRAINING = 'a proxy that drains takes no other configuration';

export interface ReloaderOptions {
  /** What is running. */
  readonly loaded: LoadedConfig;
  readonly proxy: Proxy;
  readonly access: AccessOutput;
  readonly log: Log;
  readonly serviceManager: ServiceManager;
}

/** Reads the configuration file of a running proxy again: at a signal, by the admin API, or when the file changes. */
export class Reloader {
  readonly #proxy: Proxy;
  readonly #access: AccessOutput;
  readonly #log: Log;
  readonly #serviceManager: ServiceManager;
  readonly #file: string;
  /** By name: the configuration file, and those that it names. */
  readonly #watches = new Map<string, FileWatch>();
  #underWay: Promise<unknown> = Promise.resolve();

  constructor({ loaded, proxy, access, log, serviceManager }: ReloaderOptions) {
    this.#proxy = proxy;
    this.#access = access;
    this.#log = log;
    this.#serviceManager = serviceManager;
    this.#file = loaded.document.file;
  }

  /** Begins to watch the file and those that it names, if that is configured. */
  start(): void {
    this.#follow();
  }

  /**
   * Takes the file over as it is now; one at a time.
   *
   * @throws ConfigError with everything that is wrong with it; then nothing has changed
   */
  reload(): Promise<ReloadResult> {
    const result = this.#underWay.then(() => this.#reload());
    this.#underWay = result.catch(() => {});
    return result;
  }

  /** As `reload`, with the log for an answer. Never rejects. */
  async reloadAndTell(why: string): Promise<void> {
    if (this.#proxy.stopping) return this.#log.info(`${why}: ${DRAINING}`);
    try {
      await this.reload();
    } catch (thrown) {
      this.#log.error(`${why}, but it cannot be used; nothing was changed:`);
      for (const line of describeFailure(thrown).lines) this.#log.error(`  ${line}`);
    }
  }

  close(): void {
    for (const watch of this.#watches.values()) watch.stop();
    this.#watches.clear();
  }

  async #reload(): Promise<ReloadResult> {
    if (this.#proxy.stopping) throw new AdminFailure('STOPPING', DRAINING);
    this.#serviceManager.reloading();
    try {
      const told = await this.#takeOver();
      this.#serviceManager.ready(told.what);
      return told.result;
    } catch (thrown) {
      // It runs on as it was, and that is what “ready” means.
      const reason = describeFailure(thrown).lines.join('; ');
      this.#serviceManager.ready(`a changed configuration was refused, nothing was changed: ${reason}`);
      throw thrown;
    }
  }

  async #takeOver(): Promise<{ result: ReloadResult; what: string }> {
    const loaded = await loadConfig(this.#file);
    const takeOver = this.#prepareAccessLog(loaded);
    const { changes, warnings } = await this.#proxy.adopt(loaded.plan);
    takeOver();
    this.#log.level = loaded.config.log.level;
    this.#follow();
    const result = { changes, warnings: [...loaded.warnings.map(formatIssue), ...warnings] };
    return { result, what: this.#tell(result, loaded.shown) };
  }

  #prepareAccessLog({ config, document }: LoadedConfig): () => void {
    try {
      return this.#access.prepare(config.accessLog);
    } catch (thrown) {
      if (!(thrown instanceof RunError)) throw thrown;
      const message = thrown.message.replace(/^accessLog\.file: /, '');
      throw new ConfigError(placeFindings([{ path: ['accessLog', 'file'], message }], document.source), {
        cause: thrown,
      });
    }
  }

  #follow(): void {
    const { reload, files } = this.#proxy.plan;
    const wanted = new Set(reload.watch ? [this.#file, ...files] : []);
    for (const [file, watch] of this.#watches) {
      if (wanted.has(file)) continue;
      watch.stop();
      this.#watches.delete(file);
    }
    for (const file of wanted) {
      if (!this.#watches.has(file)) this.#watches.set(file, this.#watch(file));
    }
  }

  #watch(file: string): FileWatch {
    const what = file === this.#file ? 'the configuration file' : file;
    const watch = new FileWatch(file, systemDeps.clock, {
      onChange: () => void this.reloadAndTell(`${what} has changed`),
      onError: (error) => this.#log.error(`${what} is not watched any more: ${error.message}`),
    });
    watch.start();
    return watch;
  }

  #tell({ changes, warnings }: ReloadResult, shown: string): string {
    const what = `reloaded ${shown}: ${changes.length === 0 ? 'nothing has changed' : changes.join('; ')}`;
    this.#log.info(what);
    for (const warning of warnings) this.#log.warn(warning);
    return what;
  }
}
