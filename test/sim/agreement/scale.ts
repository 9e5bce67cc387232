import { parseArgs } from 'node:util';
import { eachBit } from '../../../protocol/agreement-bits.ts';
import { blocksOf } from '../../../protocol/agreement-echo.ts';
import {
  type AgreementMessage,
  ECHO_BLOCK_SLOTS,
  encodeAgreement,
  type SlotDigest,
} from '../../../protocol/messages/agreement.ts';
import { Scenario } from './scenario.ts';

/** Large clusters without accidents: whether they agree, and how many bytes a PoP says a height, bodies apart. */
const { values } = parseArgs({
  options: {
    pops: { type: 'string', default: '30,100,300' },
    seed: { type: 'string', default: '1' },
    liars: { type: 'string', default: '0' },
  },
});

/** The bytes of what is said, with ECHOs as they are, all plain, and all compact. */
function bytesOf(message: AgreementMessage): readonly [said: number, plain: number, compact: number] {
  if (message.kind === 'propose') {
    const bytes = encodeAgreement({ ...message, body: undefined }).length;
    return [bytes, bytes, bytes];
  }
  const said = encodeAgreement(message).length;
  if (message.kind === 'echo') {
    const { height, echoes } = message;
    const blocks = blocksOf(height, echoes);
    return [said, said, encodeAgreement({ kind: 'compact-echo', height, blocks }).length];
  }
  if (message.kind !== 'compact-echo') return [said, said, said];
  const echoes: SlotDigest[] = [];
  for (const [block, slots, hash] of message.blocks) {
    eachBit(slots, ECHO_BLOCK_SLOTS, (bit) => echoes.push([block * ECHO_BLOCK_SLOTS + bit, hash]));
  }
  return [said, encodeAgreement({ kind: 'echo', height: message.height, echoes }).length, said];
}

for (const pops of values.pops.split(',').map(Number)) {
  const byKind = new Map<string, number>();
  const total: [number, number, number] = [0, 0, 0];
  const outcome = new Scenario({
    ...{ seed: Number(values.seed), pops, calm: { liars: Number(values.liars) } },
    said: (message) => {
      const bytes = bytesOf(message);
      byKind.set(message.kind, (byKind.get(message.kind) ?? 0) + bytes[0]);
      for (const at of [0, 1, 2] as const) total[at] += bytes[at];
    },
  }).run();
  const shares = pops * outcome.heights;
  const each = (bytes: number) => `${(bytes / shares / 1000).toFixed(2)} kB`;
  const kinds = [...byKind].map(([kind, bytes]) => `${kind} ${each(bytes)}`).join(', ');
  process.stdout.write(
    `${pops} PoPs, ${outcome.liars} liars: ${outcome.broken ?? 'agreed'}, ${outcome.heights} heights in ` +
      `${Math.round(outcome.convergedMs)} ms; said by each a height ${each(total[0])} (all ECHOs plain ` +
      `${each(total[1])}, all compact ${each(total[2])}; heard of all: ${(total[0] / outcome.heights / 1e6).toFixed(2)} ` +
      `against ${(total[1] / outcome.heights / 1e6).toFixed(2)} MB): ${kinds}; ${process.uptime().toFixed(0)} s\n`,
  );
}
