import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import type { Clock } from '../base/deps.js';
import type { SessionAnswer, SessionRequest } from '../channels/types.js';
import type { ApiAnswer } from '../net/api-server.js';
import {
  awsErrors,
  type AwsErrorType,
  connectionOfPath,
  writeConnection,
} from '../protocol/aws/connections.js';
import { type AwsKey, isSigned, isSignedWith, readSignature } from '../protocol/aws/sigv4.js';
import { HeaderList } from '../protocol/http/header-list.js';
import { quote } from '../protocol/http/quote.js';
import { inJson, type PublishHouse, readBody } from './publish/call.js';
import { PublishFailure } from './publish/failure.js';

export interface AwsConnectionsHouse extends PublishHouse {
  /** Key pairs whose signatures are checked. */
  readonly keys: readonly AwsKey[];
  readonly clock: Clock;
  /** Lets in by any other way, or throws a PublishFailure. */
  readonly check: (req: IncomingMessage) => Promise<void>;
  /** Told of faults of ours; the caller sees a 500. */
  readonly onFault: (error: unknown) => void;
}

/** Whether a request is for `@connections`, behind any prefix. */
export function isForAwsConnections(req: IncomingMessage): boolean {
  return connectionOfPath(pathOf(req)) !== undefined;
}

/**
 * The `@connections` of API Gateway: `POST` sends to a connection, `GET` tells of it, `DELETE` closes it. The connection
 * may be of any gateway route, on any node. Never rejects; errors are in the shape that SDKs of AWS know.
 */
export async function answerAwsConnections(
  req: IncomingMessage,
  house: AwsConnectionsHouse,
): Promise<ApiAnswer> {
  try {
    return await answer(req, house);
  } catch (thrown) {
    if (thrown instanceof AwsFailure) return refusal(thrown);
    if (thrown instanceof PublishFailure) {
      return refusal(new AwsFailure(TYPES[thrown.status] ?? 'BadRequestException', thrown.message));
    }
    house.onFault(thrown);
    const message = 'a fault in Tidegate itself; its log has the details';
    return refusal(new AwsFailure('InternalServerErrorException', message));
  }
}

async function answer(req: IncomingMessage, house: AwsConnectionsHouse): Promise<ApiAnswer> {
  const body = await admit(req, house);
  const id = connectionOfPath(pathOf(req))?.id;
  if (id === undefined) throw new AwsFailure('BadRequestException', 'the connection id is badly escaped');
  switch (req.method) {
    case 'POST': {
      const content = body ?? (await read(req, house));
      // SDKs say application/octet-stream of everything, and API Gateway itself knows only texts.
      await ask(house, { id, what: 'send', type: isUtf8(content) ? 'text' : 'binary', content });
      return { status: 200, type: 'application/json', body: '' };
    }
    case 'GET':
      return inJson(tell((await ask(house, { id, what: 'info' })).info ?? {}, house.clock));
    case 'DELETE':
      await ask(house, { id, what: 'close', code: 1000, reason: '' });
      return { status: 204, type: 'application/json', body: '' };
    default:
      throw new AwsFailure('MethodNotAllowedException', `expected ${ALLOWED}, found ${req.method}`);
  }
}

const ALLOWED = 'POST, GET, DELETE';

// Who may.

/** Throws for those who may not; returns the body where it had to be read for that. */
async function admit(req: IncomingMessage, house: AwsConnectionsHouse): Promise<Buffer | undefined> {
  const headers = HeaderList.fromRaw(req.rawHeaders);
  // Whoever needs no signature may have made one all the same: SDKs always do.
  if (house.keys.length === 0 || !isSigned(headers)) {
    await house.check(req);
    return undefined;
  }
  const signature = readSignature(headers, house.clock.date().getTime());
  if ('problem' in signature) {
    const { problem, isExpired } = signature;
    throw isExpired ? new AwsFailure('InvalidSignatureException', problem) : forbidden(problem);
  }
  const key = house.keys.find(({ accessKeyId }) => accessKeyId === signature.accessKeyId);
  if (key === undefined) throw forbidden(`the access key ${quote(signature.accessKeyId)} is not known`);
  const body = await read(req, house);
  const request = { method: req.method ?? '', target: req.url ?? '', headers };
  if (isSignedWith(key.secretAccessKey, signature, request, body)) return body;
  throw forbidden('the signature is not that of this request with the secret of its access key');
}

function forbidden(problem: string): AwsFailure {
  return new AwsFailure('ForbiddenException', problem);
}

// The connection.

async function ask(
  { channels }: AwsConnectionsHouse,
  request: SessionRequest,
): Promise<Extract<SessionAnswer, { ok: true }>> {
  let answer: SessionAnswer | undefined;
  try {
    answer = await channels.directory.ask(request);
  } catch (thrown) {
    const message = `the node of connection ${quote(request.id)} did not answer: ${(thrown as Error).message}`;
    throw new AwsFailure('ServiceUnavailableException', message);
  }
  if (answer === undefined)
    throw new AwsFailure('GoneException', `no open connection has the id ${quote(request.id)}`);
  if (answer.ok) return answer;
  if (answer.why === 'closing')
    throw new AwsFailure('GoneException', `connection ${request.id} is closing and takes no more messages`);
  throw new AwsFailure(
    'LimitExceededException',
    `connection ${request.id} does not take what waits for it already`,
  );
}

function tell(info: Readonly<Record<string, unknown>>, clock: Clock): object {
  const { connectedAt, client, userAgent, silentMs } = info;
  return writeConnection({
    connectedAtMs: Date.parse(String(connectedAt)),
    lastActiveAtMs: clock.date().getTime() - (typeof silentMs === 'number' ? silentMs : 0),
    sourceIp: String(client),
    userAgent: typeof userAgent === 'string' ? userAgent : undefined,
  });
}

// Errors.

class AwsFailure extends Error {
  override readonly name = 'AwsFailure';
  readonly type: AwsErrorType;

  constructor(type: AwsErrorType, message: string) {
    super(message);
    this.type = type;
  }
}

/** What failures of the publish listener are called here, by their statuses. */
const TYPES: Readonly<Record<number, AwsErrorType>> = {
  401: 'ForbiddenException',
  403: 'ForbiddenException',
  413: 'PayloadTooLargeException',
  415: 'UnsupportedMediaTypeException',
};

function refusal({ type, message }: AwsFailure): ApiAnswer {
  const headers = {
    'x-amzn-ErrorType': type,
    ...(type === 'MethodNotAllowedException' ? { Allow: ALLOWED } : {}),
  };
  return { ...inJson({ message }, awsErrors[type]), headers };
}

function read(req: IncomingMessage, { channels, maxBodyBytes }: AwsConnectionsHouse): Promise<Buffer> {
  return readBody({ req, channels, maxBodyBytes, query: new URLSearchParams(), name: '' });
}

function pathOf({ url = '' }: IncomingMessage): string {
  return url.split('?', 1)[0]!;
}
