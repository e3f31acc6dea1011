import { GripSigner } from '../protocol/grip/grip-sig.js';
import { signingKey } from '../protocol/grip/keys.js';
import type { GripPlan } from '../route/gateway-plan.js';

/** Sessions of a plan share one, which signs once in a while. */
const signers = new WeakMap<GripPlan, GripSigner>();

/** What signs the requests of a route; undefined where nothing does. */
export function signerOf(plan: GripPlan | undefined): GripSigner | undefined {
  if (plan?.key === undefined) return undefined;
  let signer = signers.get(plan);
  if (signer === undefined) {
    signer = new GripSigner({ key: signingKey(plan.key), issuer: plan.issuer });
    signers.set(plan, signer);
  }
  return signer;
}
