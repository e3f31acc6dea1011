import { type IncomingMessage, ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { AcmeChallenges } from './challenges.js';

describe('AcmeChallenges', () => {
  it('answers for what is awaited, and for nothing else', () => {
    const challenges = new AcmeChallenges();
    expect(challenges.awaitsHttp).toBe(false);
    const takeDown = challenges.answerHttp('token', 'token.thumbprint');
    expect(challenges.awaitsHttp).toBe(true);
    const path = '/.well-known/acme-challenge';
    const answered = (method: string, target: string) => challenges.answer(method, target, response());
    expect(answered('GET', `${path}/token`)).toBe(true);
    expect(answered('HEAD', `${path}/token`)).toBe(true);
    expect(answered('GET', `${path}/token?from=elsewhere`)).toBe(true);
    for (const target of ['/', path, `${path}/`, `${path}/other`, `${path}/token/`, `/x${path}/token`, '*']) {
      expect(answered('GET', target)).toBe(false);
    }
    expect(answered('POST', `${path}/token`)).toBe(false);
    takeDown();
    expect(challenges.awaitsHttp).toBe(false);
    expect(answered('GET', `${path}/token`)).toBe(false);
  });

  it('knows a validator by what it offers', () => {
    const challenges = new AcmeChallenges();
    expect(challenges.isFor(['acme-tls/1'])).toBe(false);
    const takeDown = challenges.answerTls('a.test', { cert: '', key: '' });
    expect(challenges.isFor(['acme-tls/1'])).toBe(true);
    expect(challenges.isFor(['acme-tls/1', 'h2'])).toBe(false);
    expect(challenges.isFor(['http/1.1'])).toBe(false);
    // Another one for the same name has come meanwhile.
    const takeDownOther = challenges.answerTls('a.test', { cert: '', key: '' });
    takeDown();
    expect(challenges.awaitsTls).toBe(true);
    takeDownOther();
    expect(challenges.awaitsTls).toBe(false);
  });
});

function response(): ServerResponse {
  return new ServerResponse({ method: 'GET', resume: () => {} } as unknown as IncomingMessage);
}
