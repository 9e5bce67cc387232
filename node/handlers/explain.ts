import type { PopId } from '../../protocol/ids.ts';
import type { Daemon } from '../compose.ts';
import type { ExplainResult } from '../rpc/methods.ts';
import { decisionSteps } from './explain-decision.ts';
import { explanationOf, mirrorStatus } from './questions.ts';
import { named, popName, resourceOf, stampText } from './resource.ts';

export type Step = ExplainResult['steps'][number];

const MILLI = 1_000;
/** Features named beside a chance, the most telling first. */
const FACTORS_SHOWN = 3;

/** Why a resource is or is not here: the epoch's path, step by step, from what this PoP knows. */
export async function explain(daemon: Daemon, text: string): Promise<ExplainResult> {
  const { store, identity, names } = daemon;
  const { key16, key, site } = resourceOf(daemon, text);
  if (key !== undefined && site !== undefined) names.learn(key16, { key, site });
  const [{ explanation, forecasts, decided, planned }, mirror] = await Promise.all([
    explanationOf(daemon, key16),
    mirrorStatus(daemon),
  ]);
  const held = store.replicas.get(key16)[0];
  const standing = held && store.replicas.standing(held);
  const name = (pop: PopId) => popName(daemon, pop);
  const own = explanation.placements.find((one) => one.pop === identity.self);
  const skipped = explanation.skips.find((one) => one.pop === identity.self);
  const outcome = mirror.outcomes[key16];
  const steps: Step[] = [];
  const add = (
    step: Step['step'],
    verdict: string,
    facts: Step['facts'],
    code: string | null = null,
    at: number | null = null,
  ) => steps.push({ step, verdict, code, at, facts });

  const asked = Object.fromEntries(
    explanation.regions.map(({ region, requests }) => [`requests in ${region}`, requests]),
  );
  const last = Math.max(0, ...explanation.regions.map((one) => one.last));
  add(
    'demand',
    explanation.known
      ? `${explanation.requests} requests by about ${explanation.clients} client networks at ${explanation.pops.map(({ pop }) => name(pop)).join(', ')}`
      : 'no PoP has told of a request for it',
    { requests: explanation.requests, clients: explanation.clients, bytes: explanation.size, ...asked },
    explanation.known ? null : 'RESOURCE_UNKNOWN',
    last > 0 ? Math.floor(last) : null,
  );
  for (const one of forecasts) {
    const facts = {
      region: one.region,
      model: one.model,
      nextWindow: one.next / MILLI,
      horizonMean: one.mean / MILLI,
      horizonUpper: one.upper / MILLI,
    };
    add(
      'proposals',
      `${(one.mean / MILLI).toFixed(1)} requests expected from ${one.region} (${one.model})`,
      facts,
    );
  }
  for (const { region, expected, base, factors } of explanation.reasons) {
    const telling = [...factors]
      .sort((a, b) => Math.abs(Math.log(b.factor)) - Math.abs(Math.log(a.factor)))
      .slice(0, FACTORS_SHOWN);
    const why = telling.map(({ feature, factor }) => `${feature} ×${factor.toFixed(2)}`).join(', ');
    add(
      'proposals',
      `first request from ${region} expected ${expected.toFixed(3)} times within the horizon, base ${base.toFixed(3)}: ${why}`,
      {
        region,
        expected,
        base,
        ...Object.fromEntries(telling.map(({ feature, factor }) => [feature, factor])),
      },
    );
  }
  for (const step of decisionSteps(decided, planned, name)) steps.push(step);
  for (const one of explanation.placements) {
    add('plan', `${one.purpose === 'keep' ? 'kept' : 'mirrored'} at ${name(one.pop)} for ${one.region}`, {
      pop: name(one.pop),
      valuePerMiB: one.value,
      chance: one.chance / MILLI,
      expected: one.expected / MILLI,
      tier: one.tier,
    });
  }
  for (const one of explanation.skips) {
    add(
      'plan',
      `not at ${name(one.pop)} for ${one.region}`,
      { pop: name(one.pop), valuePerMiB: one.value },
      one.reason,
    );
  }
  if (outcome)
    add(
      'transfer',
      `the last pull to this PoP ended as ${outcome}`,
      {},
      outcome === 'mirrored' || outcome === 'renewed' ? null : outcome,
    );
  if (held) {
    add(
      'serving',
      standing === 'valid'
        ? 'served from here'
        : standing === 'stale'
          ? 'served after revalidation'
          : 'purged',
      {
        source: held.source,
        uses: held.uses,
        version: stampText(held.version),
        content: held.content,
      },
    );
  }
  const answer = held
    ? held.source === 'client'
      ? 'It is here because clients of this PoP asked for it.'
      : held.source === 'plan'
        ? 'It is here because the plan mirrored it before it was asked for.'
        : 'It is here because another PoP reported a burst.'
    : own
      ? `The plan wants it here; ${outcome ? `the last pull ended as ${outcome}` : 'it has not been pulled yet'}.`
      : skipped
        ? `It is not here: the plan passed this PoP over (${skipped.reason}).`
        : explanation.known
          ? 'It is not here: nothing speaks for a request at this PoP within the horizon.'
          : 'It is not here: nobody has asked for it.';
  return { ...named(daemon, key16), here: held !== undefined && standing !== 'gone', answer, steps };
}
