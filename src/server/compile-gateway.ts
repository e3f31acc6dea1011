import { awsDefaults } from '../config/gateway-aws.js';
import type { ConfigPath } from '../config/issues.js';
import type { GatewayConfig, PublishConfig } from '../config/schema.js';
import type { PublishPlan } from '../gateway/publish-plan.js';
import { signingKey, verifyingKey } from '../protocol/grip/keys.js';
import type { AwsPlan, GatewayPlan, GripPlan } from '../route/gateway-plan.js';
import type { Files } from './files.js';

export function compileGateway(
  gateway: GatewayConfig | undefined,
  path: ConfigPath,
  files: Files,
): GatewayPlan | undefined {
  if (gateway === undefined) return undefined;
  const { channelPrefix, retries } = gateway;
  return Object.freeze({
    aws: gateway.dialect === 'aws' ? compileAws(gateway.aws ?? awsDefaults) : undefined,
    grip: compileGrip(gateway.grip, [...path, 'grip'], files),
    channelPrefix,
    subscribe: Object.freeze(gateway.subscribe.map((channel) => channelPrefix + channel)),
    maxSubscriptions: gateway.maxSubscriptions || Infinity,
    compression: gateway.compression,
    maxMessageBytes: gateway.maxMessageBytes,
    maxBufferedBytes: gateway.maxBufferedBytes,
    maxResponseBytes: gateway.maxResponseBytes,
    pings: gateway.pings,
    requestTimeoutMs: gateway.requestTimeout,
    retries: Object.freeze({ attempts: retries.attempts, statuses: new Set(retries.statuses) }),
    slowConsumer: Object.freeze({ ...gateway.slowConsumer }),
  });
}

function compileAws(aws: NonNullable<GatewayConfig['aws']>): AwsPlan {
  const { routeSelectionExpression: field, routes, stage, apiId, domainName, twoWay, answers, path } = aws;
  return Object.freeze({
    stage,
    apiId,
    domainName,
    selection: Object.freeze({ field, routes: routes && new Set(routes) }),
    twoWay,
    answers,
    path,
  });
}

function compileGrip(grip: GatewayConfig['grip'], path: ConfigPath, files: Files): GripPlan | undefined {
  return grip && Object.freeze({ issuer: grip.issuer, key: keyOf(grip, path, files, signingKey) });
}

export function compilePublish(publish: PublishConfig, files: Files): PublishPlan {
  const { address, auth, maxBodyBytes, maxConnections, headerTimeout, idleTimeout } = publish;
  const tokens = [...auth.tokens];
  if (auth.tokenFile !== undefined) {
    tokens.push(files.readToken(auth.tokenFile, ['publish', 'auth', 'tokenFile']));
  }
  return Object.freeze({
    address:
      'socketPath' in address
        ? { socketPath: files.resolve(address.socketPath) }
        : Object.freeze({ ...address }),
    auth: Object.freeze({
      tokens: Object.freeze(tokens),
      jwt: Object.freeze(auth.jwt.map((one, at) => compileJwt(one, ['publish', 'auth', 'jwt', at], files))),
      basic: Object.freeze(auth.basic.map((one) => Object.freeze({ ...one }))),
      aws: Object.freeze(
        auth.aws.map((one, at) => compileAwsKey(one, ['publish', 'auth', 'aws', at], files)),
      ),
    }),
    maxBodyBytes,
    maxConnections,
    headerTimeoutMs: headerTimeout,
    idleTimeoutMs: idleTimeout,
  });
}

function compileJwt(
  jwt: PublishConfig['auth']['jwt'][number],
  path: ConfigPath,
  files: Files,
): PublishPlan['auth']['jwt'][number] {
  return Object.freeze({ issuer: jwt.issuer, key: keyOf(jwt, path, files, verifyingKey)! });
}

function compileAwsKey(
  { accessKeyId, secretAccessKey, secretAccessKeyFile }: PublishConfig['auth']['aws'][number],
  path: ConfigPath,
  files: Files,
): PublishPlan['auth']['aws'][number] {
  const secret = secretAccessKey ?? files.readSecret(secretAccessKeyFile!, [...path, 'secretAccessKeyFile']);
  return Object.freeze({ accessKeyId, secretAccessKey: secret });
}

/** The text of a key, which can be read as one; what is wrong with it is noted. */
function keyOf(
  { key, keyFile }: { readonly key?: string | undefined; readonly keyFile?: string | undefined },
  path: ConfigPath,
  files: Files,
  read: (text: string) => unknown,
): string | undefined {
  const place = [...path, keyFile === undefined ? 'key' : 'keyFile'];
  const text = keyFile === undefined ? key : files.readSecret(keyFile, place);
  try {
    if (text !== undefined && text !== '') read(text);
  } catch (thrown) {
    files.fault(place, (thrown as Error).message);
  }
  return text;
}
