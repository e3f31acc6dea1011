/**
 * examples/kubernetes, done by hand as a kubelet does it: the ConfigMap as files behind turned links, the container's
 * command in the image's folder, its probes, and the end of a pod. What is not there: a cluster.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { parseConfig } from '../../src/config/parse.js';
import type { ConfigInput } from '../../src/config/schema.js';
import { Cli, runCli } from '../fixtures/cli.js';
import { connectWs, startWsServer } from '../fixtures/peers/ws.js';
import { running } from '../fixtures/running.js';
import type { Operations } from '../fixtures/upstreams.js';

const top = fileURLToPath(new URL('../../', import.meta.url));
const dockerfile = readFileSync(join(top, 'Dockerfile'), 'utf8');

interface Manifests {
  readonly config: ConfigInput;
  readonly pod: Pod;
  readonly container: Container;
  readonly service: {
    readonly selector: Record<string, string>;
    readonly ports: readonly { targetPort: string }[];
  };
}

interface Pod {
  readonly metadata: { readonly labels: Record<string, string> };
  readonly spec: {
    readonly terminationGracePeriodSeconds: number;
    readonly securityContext: { readonly runAsUser: number };
    readonly containers: readonly [Container];
    readonly volumes: readonly { name: string; configMap: { name: string } }[];
  };
}

interface Container {
  readonly args: readonly string[];
  readonly ports: readonly { name: string; containerPort: number }[];
  readonly readinessProbe: { readonly tcpSocket: { readonly port: string } };
  readonly livenessProbe: { readonly exec: { readonly command: readonly string[] } };
  readonly lifecycle: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } };
  readonly volumeMounts: readonly { name: string; mountPath: string; subPath?: string }[];
}

describe('in Kubernetes', () => {
  let all: Manifests;
  beforeAll(() => {
    all = readManifests();
  });

  test('the parts fit each other and the image', () => {
    const { config, pod, container, service } = all;
    const plan = parseConfig(config, undefined, { needsListeners: true });
    const port = container.ports.find(({ name }) => name === container.readinessProbe.tcpSocket.port);
    expect(config.listeners).toEqual([`0.0.0.0:${port?.containerPort}`]);
    expect(service.ports.map(({ targetPort }) => targetPort)).toEqual([port?.name]);
    expect(pod.metadata.labels).toMatchObject(service.selector);
    expect(container.livenessProbe.exec.command).toContain(config.admin);
    expect(container.volumeMounts).toEqual([{ name: 'config', mountPath: workdirOf(dockerfile) }]);
    expect(pod.spec.volumes).toEqual([{ name: 'config', configMap: { name: 'tidegate' } }]);
    // The user `node` of the official images.
    expect(pod.spec.securityContext.runAsUser).toBe(1000);
    expect(dockerfile).toMatch(/^USER node$/m);
    const graceMs = pod.spec.terminationGracePeriodSeconds * 1000;
    expect(graceMs - preStopSeconds(container) * 1000 - plan.drain.timeout).toBeGreaterThanOrEqual(5000);
  });

  test('a pod lives: probes, a changed ConfigMap, and an end that every client is told of', async () => {
    const { container } = all;
    const chat = all.config.upstreams!['chat'] as Operations;
    const backend = await running(startWsServer());
    const config: ConfigInput = {
      ...all.config,
      listeners: ['127.0.0.1:0'],
      admin: '127.0.0.1:0',
      // Its name is in /etc/hosts, and it answers no checks.
      upstreams: { chat: { ...chat, servers: `http://localhost:${backend.port}`, health: false } },
      drain: { timeout: '30s', spread: '1s' },
    };
    const volume = mountConfigMap(config);
    const cli = await running(new Cli(container.args, { cwd: volume.path }));
    const url = await cli.url();
    const port = Number(new URL(url).port);
    const adminLine = await cli.stderr.next((line) => line.startsWith('  admin API on '));
    const admin = adminLine.slice('  admin API on '.length);
    const isAlive = async (): Promise<boolean> => {
      const [program, ...args] = container.livenessProbe.exec.command;
      expect(program).toBe('tidegate');
      const own = args.map((arg) => (arg === all.config.admin ? admin : arg));
      return (await runCli(own)).code === 0;
    };

    expect(await accepts(port)).toBe(true);
    expect(await isAlive()).toBe(true);
    const early = await running(connectWs(url));

    volume.update({ ...config, routes: [{ name: 'chat', match: { path: '/chat' }, to: 'chat' }] });
    await cli.stderr.next((line) => line.endsWith('info: reloaded tidegate.config.yaml: route chat changed'));
    await expect(connectWs(`${url}/elsewhere`)).rejects.toThrow('404');

    // The end: preStop runs while the Service still sends clients here …
    const [sleep, seconds] = container.lifecycle.preStop.exec.command as [string, string];
    const preStop = once(spawn(sleep, [String(Number(seconds) / 10)]), 'exit');
    const late = await running(connectWs(`${url}/chat`));
    expect(await preStop).toEqual([0, null]);
    // … then SIGTERM. The client that does not read holds the drain up, so that its middle can be looked at.
    early.socket.pause();
    cli.signal('SIGTERM');
    expect(await late.closed).toEqual({ code: 1001, reason: '' });
    expect(await accepts(port)).toBe(false);
    expect(await isAlive()).toBe(true);
    early.socket.resume();
    expect(await early.closed).toEqual({ code: 1001, reason: '' });
    expect(await cli.exited).toBe(0);
    const outcomes = cli.stdout.all.map((line) => (JSON.parse(line) as { outcome: string }).outcome);
    // The probes left no trace.
    expect(outcomes).toEqual(['failed(ROUTE_NOT_FOUND)', 'drained', 'drained']);
    expect(cli.stderr.all.filter((line) => / (warn|error): /.test(line))).toEqual([]);
  });

  test('a ConfigMap that cannot be used changes nothing', async () => {
    const backend = await running(startWsServer());
    const config: ConfigInput = {
      ...all.config,
      listeners: ['127.0.0.1:0'],
      admin: '127.0.0.1:0',
      upstreams: { chat: backend.url },
    };
    const volume = mountConfigMap(config);
    const cli = await running(new Cli(all.container.args, { cwd: volume.path }));
    const url = await cli.url();
    volume.update({ ...config, routes: [{ to: 'chta' }] });
    await cli.stderr.next((line) => line.includes('no upstream named "chta"'));
    await running(connectWs(url));
  });
});

function readManifests(): Manifests {
  const text = readFileSync(join(top, 'examples/kubernetes/tidegate.yaml'), 'utf8');
  const documents = parseAllDocuments(text).map(
    (document) => document.toJS() as { kind: string; data: Record<string, string>; spec: unknown },
  );
  const one = (kind: string) => documents.find((document) => document.kind === kind)!;
  const pod = (one('Deployment').spec as { template: Pod }).template;
  const config = parse(one('ConfigMap').data['tidegate.config.yaml']!) as ConfigInput;
  const [container] = pod.spec.containers;
  return { config, pod, container, service: one('Service').spec as Manifests['service'] };
}

function preStopSeconds(container: Container): number {
  const [program, seconds] = container.lifecycle.preStop.exec.command;
  expect(program).toBe('sleep');
  return Number(seconds);
}

/** Where the image runs its command. */
const workdirOf = (text: string): string => [...text.matchAll(/^WORKDIR (.+)$/gm)].at(-1)![1]!;

/** A volume as a kubelet writes it: the files in a folder of their own, and one link that is turned to the next. */
function mountConfigMap(config: ConfigInput): { path: string; update(config: ConfigInput): void } {
  const path = mkdtempSync(join(tmpdir(), 'tidegate-configmap-'));
  onTestFinished(() => rmSync(path, { recursive: true }));
  let version = 0;
  const update = (config: ConfigInput): void => {
    const folder = `..2026_11_23_${version++}`;
    mkdirSync(join(path, folder));
    writeFileSync(join(path, folder, 'tidegate.config.yaml'), stringify(config));
    symlinkSync(folder, join(path, '..data_tmp'));
    renameSync(join(path, '..data_tmp'), join(path, '..data'));
    if (version > 1) rmSync(join(path, `..2026_11_23_${version - 2}`), { recursive: true });
  };
  update(config);
  symlinkSync(join('..data', 'tidegate.config.yaml'), join(path, 'tidegate.config.yaml'));
  return { path, update };
}

/** What `tcpSocket` asks. */
function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
