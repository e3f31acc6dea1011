// A chat as Lambda functions behind a WebSocket API of Amazon API Gateway, one for each of its routes.
import { ApiGatewayManagementApi } from '@aws-sdk/client-apigatewaymanagementapi';

/** Who is there, by connection. Amazon's examples have a table of DynamoDB for it. */
const people = new Map();
let api;

export const handlers = {
  async $connect({ requestContext, queryStringParameters }) {
    const name = queryStringParameters?.name;
    if (!name) return { statusCode: 401, body: 'Who are you? Come with ?name=…\n' };
    people.set(requestContext.connectionId, name);
    return { statusCode: 200 };
  },

  /** `{"action": "say", "text": "…"}`; with `"to": "CONNECTION"` to that one alone. */
  async say({ requestContext, body }) {
    const { connectionId } = requestContext;
    const { text, to } = JSON.parse(body);
    const message = { from: people.get(connectionId), connection: connectionId, text };
    const sent = await send(requestContext, message, to === undefined ? [...people.keys()] : [to]);
    if (to !== undefined && !sent.includes(to)) await send(requestContext, { gone: to }, [connectionId]);
    return { statusCode: 200 };
  },

  async $default({ requestContext }) {
    await send(requestContext, { error: 'expected {"action": "say", "text": "…"}' }, [
      requestContext.connectionId,
    ]);
    return { statusCode: 200 };
  },

  async $disconnect({ requestContext }) {
    const name = people.get(requestContext.connectionId);
    people.delete(requestContext.connectionId);
    await send(requestContext, { left: name }, [...people.keys()]);
    return { statusCode: 200 };
  },
};

/** Returns those connections that are still there. */
async function send({ domainName, stage }, message, connections) {
  api ??= new ApiGatewayManagementApi({
    endpoint: process.env.CONNECTIONS_URL ?? `https://${domainName}/${stage}`,
  });
  const sent = connections.map(async (ConnectionId) => {
    try {
      await api.postToConnection({ ConnectionId, Data: JSON.stringify(message) });
      return ConnectionId;
    } catch (error) {
      if (error.name !== 'GoneException') throw error;
      people.delete(ConnectionId);
      return undefined;
    }
  });
  return (await Promise.all(sent)).filter((connection) => connection !== undefined);
}
