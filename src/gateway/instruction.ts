import { type Instruction, isInstructBody, readInstruction } from '../protocol/grip/hold.js';
import { removeHopByHop } from '../protocol/http/hop-by-hop.js';
import type { BackendAnswer } from './backend.js';

/** What a whole answer of a backend asks for. Its body is still the answer’s, unless the instruction has one. */
export function instructionOf({ status, reason, fields, body }: BackendAnswer): Instruction {
  const headers = fields.clone();
  removeHopByHop(headers);
  headers.delete('trailer');
  return readInstruction({ status, reason, headers }, isInstructBody(headers) ? body : undefined);
}
