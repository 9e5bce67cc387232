import type { PlanState } from '../../actors/forecaster.ts';
import type { DecidedResource } from '../../forecasting/agreed-forecast.ts';
import type { PopId } from '../../protocol/ids.ts';
import type { Step } from './explain.ts';

const MILLI = 1_000;

/** What each PoP proposed for a resource, what was decided of it, and by which parameters it was planned. */
export function decisionSteps(
  decided: DecidedResource | undefined,
  planned: PlanState,
  name: (pop: PopId) => string,
): Step[] {
  const at = planned.madeAt === 0 ? null : planned.madeAt;
  if (!decided) {
    return [
      {
        ...{ step: 'decision', verdict: 'planned from this PoP’s own forecasts: nothing has been decided' },
        ...{ code: null, at, facts: { epoch: planned.epoch } },
      },
    ];
  }
  const steps: Step[] = [];
  for (const { pop, weight, resources, cells } of decided.proposals) {
    const facts: Record<string, number | string> = { pop: name(pop), weight: weight / MILLI, resources };
    for (const { region, next, mean, upper, chance, credit } of cells ?? []) {
      facts[`next window in ${region}`] = next / MILLI;
      facts[`horizon mean in ${region}`] = mean / MILLI;
      facts[`horizon upper in ${region}`] = upper / MILLI;
      facts[`chance in ${region}`] = chance / MILLI;
      facts[`credited chance in ${region}`] = credit / MILLI;
    }
    const said =
      cells === undefined
        ? 'did not repeat it at this height'
        : `proposed ${cells.map(({ region, mean }) => `${(mean / MILLI).toFixed(2)} for ${region}`).join(', ')}`;
    steps.push({ step: 'proposals', verdict: `${name(pop)} ${said}`, code: null, at: null, facts });
  }
  const { height, hash, agreed, tunings } = decided;
  const basis =
    planned.basis === 'agreed' ? 'the plan follows from it' : 'the plan in force is this PoP’s own';
  if (!agreed) {
    steps.push({
      ...{ step: 'decision', verdict: `the decision at height ${height} does not list it; ${basis}` },
      ...{ code: null, at, facts: { height, hash } },
    });
    return steps;
  }
  for (const { region, expected, chance, credit, held, holder } of agreed.cells) {
    const tuned = tunings.find((one) => one.region === region);
    const facts: Record<string, number | string | boolean> = {
      ...{ height, hash, region },
      expected: expected / MILLI,
      chance: chance / MILLI,
      credited: credit / MILLI,
      'established series': held,
      'asked for there': holder,
    };
    if (tuned) {
      facts.threshold = tuned.parameters.threshold;
      facts['safety factor'] = tuned.parameters.safety / MILLI;
      facts.targets = tuned.parameters.targets;
      facts['share of fill rate'] = tuned.parameters.fillShare / MILLI;
      facts['heights between looks'] = tuned.replan / MILLI;
      facts.accuracy = tuned.accuracy / MILLI;
    }
    steps.push({
      step: 'decision',
      verdict: `decided at height ${height}: ${(expected / MILLI).toFixed(2)} requests expected from ${region}; ${basis}`,
      ...{ code: null, at, facts },
    });
  }
  return steps;
}
